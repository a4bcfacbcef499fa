import json
import os
import subprocess
import sys
import zipfile
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

import ppl
from ppl import dist, nn
from ppl.errors import FormatError, ModelError, UnknownNameError
from ppl.posterior import saving
from ppl.posterior.methods import METHODS, MethodRecord, Printed, register
from ppl.posterior.posterior import Posterior
from tests.posterior.fits import (
    Exact,
    Step,
    centre,
    centre_approximation,
    centre_fit,
    centre_weighted,
    factors_fit,
    regression_fit,
    regression_inputs,
)


def assert_equal_fits(a: Posterior, b: Posterior) -> None:
    assert a.program == b.program
    assert a.guide == b.guide
    for one, other in ((a.program, b.program), (a.guide, b.guide)):
        if one is not None and other is not None:
            assert_equal_arrays(one.data, other.data)
    for name in ("draws", "params", "sample_stats"):
        assert_equal_arrays(getattr(a, name), getattr(b, name))
    for name in ("log_weights", "log_p", "log_q"):
        mine, theirs = getattr(a, name), getattr(b, name)
        assert (mine is None) == (theirs is None)
        if mine is not None:
            assert_equal_arrays({"": mine}, {"": theirs})
    for name in ("method", "backend", "precision", "seed", "log_evidence", "versions", "coords"):
        assert getattr(a, name) == getattr(b, name), name


def assert_equal_arrays(a, b) -> None:
    assert list(a) == list(b)
    for name in a:
        assert a[name].dtype == b[name].dtype
        np.testing.assert_array_equal(a[name], b[name])


@pytest.mark.parametrize(
    "fit",
    [centre_fit(2, 10), centre_approximation(50), centre_weighted(50), regression_fit(draws=4), factors_fit(draws=4)],
    ids=["samples", "variational", "weighted", "regression", "networks"],
)
def test_round_trip(fit, tmp_path):
    path = fit.save(tmp_path / "fit")
    assert path == str(tmp_path / "fit.credo")
    found = Posterior.load(path)
    assert_equal_fits(fit, found)
    assert_equal_fits(fit, Posterior.load(tmp_path / "fit"))
    assert found.khat == fit.khat
    assert list(found.diagnostics) == list(fit.diagnostics)
    # What follows from the draws does not outlive them.
    assert found.replace(log_weights=None, log_q=None, guide=None).khat is None


def test_everything_else_that_a_fit_holds(tmp_path):
    fit = centre_fit(
        2,
        10,
        sample_stats={"diverging": np.zeros((2, 10), bool), "depth": np.arange(20, dtype=np.int32).reshape(2, 10)},
        diagnostics={
            "objective": np.linspace(0, 1, 5, dtype=np.float32),
            "steps": np.int64(5),
            "resumed": False,
            "worst": float("nan"),
            "bound": -np.inf,
            "note": "ünïcode / $",
            "nested": {"a": [1, 2.5, None], "$tag": {"x": np.ones(2)}, "pair": (1, "b")},
        },
        log_evidence=-3.5,
        versions={"jax": "0.1"},
        coords={"rows": [f"r{i}" for i in range(12)]},
    )
    found = Posterior.load(fit.save(tmp_path / "fit.credo"))
    assert_equal_fits(fit, found)
    own, wanted = found.diagnostics, fit.diagnostics
    np.testing.assert_array_equal(own["objective"], wanted["objective"])
    assert own["objective"].dtype == np.float32
    assert (own["steps"], own["resumed"], own["bound"], own["note"]) == (5, False, -np.inf, wanted["note"])
    assert np.isnan(own["worst"])
    assert own["nested"]["pair"] == (1, "b")
    np.testing.assert_array_equal(own["nested"]["$tag"]["x"], np.ones(2))
    assert list(found["mu"].dims) == ["chain", "draw"]


def test_a_loaded_fit_predicts_and_is_evaluated(tmp_path):
    fit = regression_fit(draws=5)
    found = Posterior.load(fit.save(tmp_path / "fit"))
    inputs = regression_inputs(4, seed=1)
    assert found.predict(inputs).equals(fit.predict(inputs))
    np.testing.assert_array_equal(found.log_likelihood["y"], fit.log_likelihood["y"])
    networks = factors_fit(draws=5)
    found = Posterior.load(networks.save(tmp_path / "networks"))
    assert found.predict(images=np.ones((2, 3))).equals(networks.predict(images=np.ones((2, 3))))
    assert found.method.guide is found.guide


def test_lazy_draws_are_saved(tmp_path):
    fit = centre_fit(2, 10)
    assert_equal_fits(fit, Posterior.load(fit.replace(draws=lambda: fit.draws).save(tmp_path / "fit")))


# --- methods ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Unknown:
    steps: int = 3
    step: Step = field(default_factory=lambda: Step(0.5))
    call: object = print


def test_an_unknown_method_is_a_record(tmp_path):
    found = Posterior.load(centre_fit(2, 10, method=Unknown()).save(tmp_path / "fit")).method
    assert isinstance(found, MethodRecord)
    assert found.type.endswith("Unknown")
    assert found.fields["steps"] == 3
    assert found.fields["step"] == Step(0.5)
    assert isinstance(found.fields["call"], Printed)
    assert repr(found) == repr(Unknown())
    again = Posterior.load(centre_fit(2, 10, method=found).save(tmp_path / "again")).method
    assert (again.type, again.text) == (found.type, found.text)


def test_a_method_whose_settings_have_changed_is_a_record(tmp_path, monkeypatch):
    path = centre_fit(2, 10, method=Exact(7)).save(tmp_path / "fit")

    @dataclass(frozen=True)
    class Other:
        samples: int

    name = f"{Exact.__module__}.Exact"
    monkeypatch.setitem(METHODS, name, Other)
    found = Posterior.load(path).method
    assert isinstance(found, MethodRecord)
    assert found.fields["draws"] == 7


def test_only_dataclasses_are_registered():
    with pytest.raises(TypeError, match="no dataclass"):
        register(int)


# --- files ------------------------------------------------------------------------------------------------------------


def test_the_file_is_open_to_others(tmp_path):
    fit = centre_fit(2, 10)
    with np.load(fit.save(tmp_path / "fit"), allow_pickle=False) as archive:
        document = json.loads(archive["manifest.json"])
        np.testing.assert_array_equal(archive[document["draws"]["mu"]], fit.draws["mu"])
    assert document["format"] == "credo-posterior"
    assert document["method"]["text"] == repr(Exact())


def test_equal_fits_give_equal_files(tmp_path):
    a, b = (centre_fit(2, 10).save(tmp_path / name) for name in ("a", "b"))
    assert Path(a).read_bytes() == Path(b).read_bytes()


def test_data_of_model_and_guide_is_written_once(tmp_path):
    fit = factors_fit(draws=2)
    with zipfile.ZipFile(fit.save(tmp_path / "fit")) as archive:
        document = json.loads(archive.read("manifest.json"))
    assert document["program"]["data"]["images"] == document["guide"]["data"]["images"]


@pytest.mark.parametrize("kept", [0, 10, 0.3, 0.9, 0.999])
def test_a_file_cut_short(tmp_path, kept):
    path = centre_fit(2, 10).save(tmp_path / "fit")
    content = Path(path).read_bytes()
    size = kept if isinstance(kept, int) else int(kept * len(content))
    Path(path).write_bytes(content[:size])
    with pytest.raises(FormatError, match=r"fit\.credo' is cut short, or is no saved fit"):
        Posterior.load(path)


def test_flipped_bits_anywhere_are_noticed_or_harmless(tmp_path):
    fit = centre_fit(2, 10)
    path = fit.save(tmp_path / "fit")
    content = Path(path).read_bytes()
    refused = 0
    places = range(0, len(content), 61)
    for place in places:
        damaged = bytearray(content)
        damaged[place] ^= 0x10
        Path(path).write_bytes(damaged)
        try:
            found = Posterior.load(path)
        except FormatError as error:
            assert "damaged" in str(error) or "cut short" in str(error) or "no saved fit" in str(error)
            refused += 1
        else:
            # Bits that carry nothing: times, attributes and flags in the headers of the archive.
            assert_equal_fits(fit, found)
    assert refused > 0.8 * len(places)


def test_a_flipped_bit_in_an_array(tmp_path):
    fit = centre_fit(2, 10)
    path = fit.save(tmp_path / "fit")
    content = Path(path).read_bytes()
    damaged = content.replace(fit.draws["mu"].tobytes(), fit.draws["mu"].tobytes()[::-1])
    assert damaged != content
    Path(path).write_bytes(damaged)
    with pytest.raises(FormatError, match="is damaged"):
        Posterior.load(path)


def rewrite(path: str, change) -> None:
    """Change the manifest of a saved fit."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    document = json.loads(members["manifest.json"])
    change(document)
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, json.dumps(document) if name == "manifest.json" else content)


def test_a_newer_version(tmp_path):
    path = centre_fit(2, 10).save(tmp_path / "fit")
    rewrite(path, lambda d: d.update(version=saving.VERSION + 1))
    with pytest.raises(FormatError, match=r"written by a newer version.\n.*\n.*format version 2\nUpgrade credo-ppl"):
        Posterior.load(path)


def test_a_newer_version_of_the_program(tmp_path):
    path = centre_fit(2, 10).save(tmp_path / "fit")
    rewrite(path, lambda d: d["program"]["declaration"].update(version=99))
    with pytest.raises(FormatError, match="the program was written by a newer version"):
        Posterior.load(path)


def test_another_kind_of_file(tmp_path):
    path = centre_fit(2, 10).save(tmp_path / "fit")
    rewrite(path, lambda d: d.update(format="something"))
    with pytest.raises(FormatError, match="is no saved fit"):
        Posterior.load(path)
    np.savez(tmp_path / "arrays.npz", a=np.ones(3))
    with pytest.raises(FormatError, match=r"holds no manifest\.json"):
        Posterior.load(tmp_path / "arrays.npz")
    (tmp_path / "text.credo").write_text("not a fit")
    with pytest.raises(FormatError, match="is cut short, or is no saved fit"):
        Posterior.load(tmp_path / "text.credo")
    with pytest.raises(FileNotFoundError):
        Posterior.load(tmp_path / "nowhere")


def test_an_array_that_is_missing(tmp_path):
    path = centre_fit(2, 10).save(tmp_path / "fit")
    rewrite(path, lambda d: d["draws"].update(mu="array_99"))
    with pytest.raises(FormatError, match="is damaged"):
        Posterior.load(path)


def test_an_unknown_item_in_the_manifest(tmp_path):
    path = centre_fit(2, 10).save(tmp_path / "fit")
    rewrite(path, lambda d: d["diagnostics"].update(a={"$": "surprise"}))
    with pytest.raises(FormatError, match="unknown kind 'surprise'"):
        Posterior.load(path)


@pytest.mark.parametrize("bad", [object(), np.array([object()]), {1j}])
def test_what_cannot_be_saved_is_refused_and_leaves_the_old_file(tmp_path, bad):
    path = centre_fit(2, 10).save(tmp_path / "fit")
    before = Path(path).read_bytes()
    with pytest.raises(FormatError, match="cannot be saved"):
        centre_fit(2, 10, diagnostics={"bad": bad}).save(path)
    assert Path(path).read_bytes() == before
    assert os.listdir(tmp_path) == ["fit.credo"]


KILLED = """
import os, sys, numpy as np
from ppl.posterior import saving
from tests.posterior.fits import centre_fit
real = np.lib.format.write_array
def write(member, array, allow_pickle=True):
    real(member, array, allow_pickle=allow_pickle)
    if array.size == 20:
        os._exit(9)
saving.np.lib.format.write_array = write
centre_fit(2, 10).save(sys.argv[1])
"""


def test_a_process_that_dies_while_saving_leaves_the_old_file(tmp_path):
    path = centre_fit(1, 5).save(tmp_path / "fit")
    before = Path(path).read_bytes()
    root = str(Path(__file__).parents[2])
    done = subprocess.run(
        [sys.executable, "-c", KILLED, path], cwd=root, env={**os.environ, "PYTHONPATH": root}, check=False
    )
    assert done.returncode == 9
    assert Path(path).read_bytes() == before


# --- networks of the user's own ---------------------------------------------------------------------------------------


def make_torch():
    import torch

    return torch.nn.Linear(2, 1)


def make_jax(key):
    import equinox

    return equinox.nn.Linear(2, 1, key=key)


@ppl.model
def own_network(X):
    net = nn.module("net", torch=make_torch, jax=make_jax, out_shape=1)
    with ppl.plate("rows", X) as x:
        ppl.sample("y", dist.Normal(net(x)[0], 1.0))


def own_network_fit() -> Posterior:
    params = {"net.weight": np.array([[1.0, 2.0]]), "net.bias": np.array([3.0])}
    program = own_network(np.eye(2)).observe(y=np.zeros(2))
    return Posterior(program, Exact(), backend="pyro", precision="float64", params=params, log_p=np.zeros((1, 4)))


def test_a_network_of_the_user_s_own_needs_its_code_again(tmp_path):
    fit = own_network_fit()
    path = fit.save(tmp_path / "fit")
    bare = Posterior.load(path)
    np.testing.assert_array_equal(bare.params["net.weight"], fit.params["net.weight"])
    with pytest.raises(ModelError, match=r"network 'net' is your own module(.|\n)*make_torch(.|\n)*modules="):
        bare.predict()
    found = Posterior.load(path, modules={"net": {"torch": make_torch, "jax": make_jax}})
    np.testing.assert_allclose(found.log_likelihood["y"][0, 0], -0.5 * np.array([16.0, 25.0]) - 0.9189385332046727)
    with pytest.raises(UnknownNameError, match="no network of your own called 'nett'"):
        Posterior.load(path, modules={"nett": {}})


def test_the_program_in_a_file_is_the_declaration(tmp_path):
    found = Posterior.load(centre_fit(2, 10).save(tmp_path / "fit"))
    assert found.program == centre(12).observe(y=np.zeros(12))
    assert found.program != centre(12)
