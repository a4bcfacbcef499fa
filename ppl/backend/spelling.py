"""How each operation is written in torch and in JAX: tables of text that lowering reads. No framework is imported."""

from __future__ import annotations

from dataclasses import dataclass

ATOM = 20


@dataclass(frozen=True)
class Spelling:
    """The words of one array library.

    Attributes:
        library: "torch" or "jax".
        module: the array module's name in emitted code.
        calls: for an op, a template over its operands; {0}, {1} are operands, {axis} and others are attributes.
        infix: for an op, its operator and precedence.
        integer, floating: names of the integer and real dtypes.
    """

    library: str
    module: str
    calls: dict[str, str]

    def dtype(self, kind: str, precision: str) -> str:
        """The dtype of a kind at a working precision."""
        if kind == "float":
            return f"{self.module}.{precision}"
        if kind == "int":
            return f"{self.module}.{'int64' if self.library == 'torch' else 'int32'}"
        return f"{self.module}.{'bool' if self.library == 'torch' else 'bool_'}"


INFIX = {
    "add": ("+", 6), "subtract": ("-", 6), "multiply": ("*", 7), "divide": ("/", 7), "floor_divide": ("//", 7),
    "remainder": ("%", 7), "pow": ("**", 9), "less": ("<", 3), "less_equal": ("<=", 3),
    "greater": (">", 3), "greater_equal": (">=", 3), "equal": ("==", 3), "not_equal": ("!=", 3),
    "logical_and": ("&", 5), "logical_or": ("|", 4), "logical_xor": ("^", 4),
}  # fmt: skip
PREFIX = {"negative": ("-", 8), "logical_not": ("~", 8)}
MATMUL = 7

_TORCH_CALLS = {
    "log_sigmoid": "F.logsigmoid({0})",
    "softplus": "F.softplus({0})",
    "relu": "torch.relu({0})",
    "gelu": "F.gelu({0})",
    "silu": "F.silu({0})",
    "elu": "F.elu({0})",
    "leaky_relu": "F.leaky_relu({0}, {1})",
    "ndtr": "torch.special.ndtr({0})",
    "ndtri": "torch.special.ndtri({0})",
    "log_ndtr": "torch.special.log_ndtr({0})",
    "xlog1py": "torch.special.xlog1py({0}, {1})",
    "i0e": "torch.special.i0e({0})",
    "i1e": "torch.special.i1e({0})",
    "gammainc": "torch.special.gammainc({0}, {1})",
    "gammaincc": "torch.special.gammaincc({0}, {1})",
    "erfcx": "torch.special.erfcx({0})",
    "polygamma": "torch.special.polygamma({n}, {0})",
    "stop_gradient": "{0}.detach()",
    "bernoulli_log_prob": "runtime.bernoulli_log_prob({0}, {1})",
    "clipped_sigmoid": "runtime.clipped_sigmoid({0})",
    "sum": "{0}.sum({axis})",
    "mean": "{0}.mean({axis})",
    "prod": "runtime.prod({0}, {axes}, keepdim={keep})",
    "max": "{0}.amax({axis})",
    "min": "{0}.amin({axis})",
    "var": "{0}.var({axis}, correction={correction})",
    "logsumexp": "torch.logsumexp({0}, {axis})",
    "all": "{0}.all({axis})",
    "any": "{0}.any({axis})",
    "argmax": "{0}.argmax({axis})",
    "argmin": "{0}.argmin({axis})",
    "cumsum": "torch.cumsum({0}, {axis})",
    "cumprod": "torch.cumprod({0}, {axis})",
    "cummax": "torch.cummax({0}, {axis}).values",
    "cummin": "torch.cummin({0}, {axis}).values",
    "cumlogsumexp": "torch.logcumsumexp({0}, {axis})",
    "softmax": "torch.softmax({0}, {axis})",
    "log_softmax": "torch.log_softmax({0}, {axis})",
    "sort": "torch.sort({0}, {axis}).values",
    "argsort": "torch.argsort({0}, {axis})",
    "flip": "torch.flip({0}, {axes})",
    "inv": "torch.linalg.inv({0})",
    "expm": "torch.linalg.matrix_exp({0})",
    "det": "torch.linalg.det({0})",
    "logdet": "torch.linalg.slogdet({0})[1]",
    "diagonal": "torch.diagonal({0}, dim1=-2, dim2=-1)",
    "solve": "torch.linalg.solve({0}, {1})",
    "solve_triangular": "torch.linalg.solve_triangular({0}, {1}, upper={upper})",
}

_JAX_CALLS = {
    "sigmoid": "jax.nn.sigmoid({0})",
    "log_sigmoid": "jax.nn.log_sigmoid({0})",
    "softplus": "runtime.softplus({0})",
    "relu": "jax.nn.relu({0})",
    "gelu": "jax.nn.gelu({0}, approximate=False)",
    "silu": "jax.nn.silu({0})",
    "elu": "jax.nn.elu({0})",
    "leaky_relu": "jax.nn.leaky_relu({0}, {1})",
    "erf": "jsp.erf({0})",
    "erfc": "jsp.erfc({0})",
    "erfinv": "jsp.erfinv({0})",
    "lgamma": "jsp.gammaln({0})",
    "digamma": "jsp.digamma({0})",
    "ndtr": "jsp.ndtr({0})",
    "ndtri": "jsp.ndtri({0})",
    "log_ndtr": "jsp.log_ndtr({0})",
    "xlogy": "jsp.xlogy({0}, {1})",
    "xlog1py": "jsp.xlog1py({0}, {1})",
    "logit": "jsp.logit({0})",
    "i0e": "jsp.i0e({0})",
    "i1e": "jsp.i1e({0})",
    "gammainc": "jsp.gammainc({0}, {1})",
    "gammaincc": "jsp.gammaincc({0}, {1})",
    "erfcx": "jsp.erfcx({0})",
    "polygamma": "jsp.polygamma({n}, {0})",
    "stop_gradient": "jax.lax.stop_gradient({0})",
    "bernoulli_log_prob": "runtime.bernoulli_log_prob({0}, {1})",
    "clipped_sigmoid": "runtime.clipped_sigmoid({0})",
    "sum": "{0}.sum({axis})",
    "mean": "{0}.mean({axis})",
    "prod": "{0}.prod({axis})",
    "max": "{0}.max({axis})",
    "min": "{0}.min({axis})",
    "var": "{0}.var({axis}, ddof={correction})",
    "logsumexp": "jax.nn.logsumexp({0}, {axis})",
    "all": "{0}.all({axis})",
    "any": "{0}.any({axis})",
    "argmax": "{0}.argmax({axis})",
    "argmin": "{0}.argmin({axis})",
    "cumsum": "jnp.cumsum({0}, {axis})",
    "cumprod": "jnp.cumprod({0}, {axis})",
    "cummax": "runtime.cummax({0}, {axis})",
    "cummin": "runtime.cummin({0}, {axis})",
    "cumlogsumexp": "runtime.cumlogsumexp({0}, {axis})",
    "softmax": "jax.nn.softmax({0}, {axis})",
    "log_softmax": "jax.nn.log_softmax({0}, {axis})",
    "sort": "jnp.sort({0}, {axis})",
    "argsort": "jnp.argsort({0}, {axis})",
    "flip": "jnp.flip({0}, {axes})",
    "inv": "jnp.linalg.inv({0})",
    "expm": "jax.scipy.linalg.expm({0})",
    "det": "jnp.linalg.det({0})",
    "logdet": "jnp.linalg.slogdet({0})[1]",
    "diagonal": "jnp.diagonal({0}, axis1=-2, axis2=-1)",
    "diag_embed": "runtime.diag_embed({0})",
    "solve": "runtime.solve({0}, {1})",
    "solve_triangular": "runtime.solve_triangular({0}, {1}, lower={lower})",
}

TORCH = Spelling("torch", "torch", _TORCH_CALLS)
JAX = Spelling("jax", "jnp", _JAX_CALLS)
# What people read is written as they would: the helper beside JAX's own softplus is for speed alone.
NATIVE_JAX = Spelling("jax", "jnp", {**_JAX_CALLS, "softplus": "jax.nn.softplus({0})"})
