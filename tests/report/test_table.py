"""What the table of several runs says, and when it says no mean."""

import json
import re

import pytest

from vadjax.report import comparison, table


def write(
    folder,
    seed=0,
    step=300,
    data="ped2",
    digest="aa",
    system="mil",
    chosen="last step",
    metrics=None,
    fields=None,
    versions=None,
):
    """A run with those figures and fields of its config."""
    config = {"seed": seed, "data": {"dir": f"/data/{data.replace('_', '/')}"}}
    config |= {"train": {"steps": 300, "devices": seed}, "optim": {"rate": 0.1}} | (fields or {})
    made = {"vadjax": "0.1.0", "commit": "abc", "packages": {"jax": "0.10.2"} | (versions or {})}
    summary = {
        "title": f"{system} on {data} (test), step {step:,} ({chosen}), seed {seed}",
        "system": system,
        "data": data,
        "split": "test",
        "step": step,
        "seed": seed,
        "metrics": {"auc": 0.7 + seed / 10, "ap": 0.5} if metrics is None else metrics,
        "untrained": {"auc": 0.5},
        "made_with": {**made, "config": config, "dataset": {"name": data, "sha256": digest}},
    }
    folder.mkdir(parents=True)
    (folder / "metrics.json").write_text(json.dumps(summary))
    return str(folder)


def printed(capsys, *runs) -> str:
    table.main(list(runs))
    return capsys.readouterr().out


def cells(out: str, figure: str) -> list[str]:
    line = next(line for line in out.splitlines() if re.match(rf"│ {figure} ", line))
    return [cell.strip() for cell in line.strip("│").split("│")][1:]


def test_runs_of_several_seeds_have_a_mean(tmp_path, capsys):
    out = printed(capsys, *(write(tmp_path / f"run_{seed}", seed) for seed in range(3)))
    assert cells(out, "auc") == ["0.7000", "0.8000", "0.9000", "0.800 ± 0.082", "0.500 ± 0.000"]
    assert "mil on ped2 (test), last step" in out and "No mean" not in out and "note:" not in out


@pytest.mark.parametrize(
    ("other", "said"),
    [
        ({"system": "lgn"}, "system: mil, lgn"),
        ({"data": "avenue"}, "dataset: ped2 (aa), avenue (aa)"),
        ({"digest": "bb"}, "dataset: ped2 (aa), ped2 (bb)"),
        ({"fields": {"optim": {"rate": 0.2}}}, "optim.rate: 0.1, 0.2"),
        ({"fields": {"loss": {"new": True}}}, "loss.new: absent, true"),
        ({"step": 200}, "step: 300, 200"),
        ({"chosen": "best step on held-out training videos"}, "step: 300, selected"),
        ({"seed": 0}, "seed: 0 more than once"),
        ({"data": "ped_1"}, "dataset: ped2 (aa), ped_1 (aa)"),
    ],
)
def test_runs_that_differ_in_more_have_none_and_are_told_in_what(tmp_path, capsys, other, said):
    runs = write(tmp_path / "a"), write(tmp_path / "b", **{"seed": 1, **other})
    out = printed(capsys, *runs)
    assert f"  {said}\n" in out and "No mean" in out
    assert "±" not in out
    assert cells(out, "auc") == ["0.7000", "0.7000" if other.get("seed") == 0 else "0.8000"]


def test_a_step_that_was_selected_may_differ(tmp_path, capsys):
    chosen = "best step on held-out training videos"
    runs = (write(tmp_path / f"{step}", step // 100, step, chosen=chosen) for step in (100, 200))
    assert cells(printed(capsys, *runs), "auc")[2] == "0.850 ± 0.050"


def test_splits_of_one_set_have_a_mean(tmp_path, capsys):
    runs = [
        write(tmp_path / str(n), seed, data=f"weak_{n}", digest=f"{n}")
        for seed, n in enumerate((0, 1, 10))
    ]
    out = printed(capsys, *runs)
    assert "mil on splits 0, 1, 10 of weak (test), last step" in out
    assert cells(out, "auc")[3] == "0.800 ± 0.082"
    same_seed = [write(tmp_path / f"s{n}", 0, data=f"weak_{n}", digest=f"{n}") for n in (0, 1)]
    assert cells(printed(capsys, *same_seed), "auc")[2] == "0.700 ± 0.000"


def test_a_figure_that_not_all_have_is_a_dash(tmp_path, capsys):
    more = {"auc": 0.8, "rbdc": 0.25, "auc:psnr": 0.6, "ap": None}
    out = printed(capsys, write(tmp_path / "a"), write(tmp_path / "b", 1, metrics=more))
    assert cells(out, "rbdc") == ["–", "0.2500", "0.250 ± 0.000 (1 of 2)", "–"]
    assert cells(out, "auc:psnr")[:2] == ["–", "0.6000"]
    assert cells(out, "ap") == ["0.5000", "–", "0.500 ± 0.000 (1 of 2)", "–"]


def test_other_versions_are_noted_beside_the_mean(tmp_path, capsys):
    versions = {"jax": "0.10.3", "torch": "2"}
    out = printed(capsys, write(tmp_path / "a"), write(tmp_path / "b", 1, versions=versions))
    assert "note: the runs were made with different programs or devices:" in out
    assert "  jax: 0.10.2, 0.10.3\n" in out and "  torch: absent, 2\n" in out
    assert cells(out, "auc")[2] == "0.750 ± 0.050"


def test_older_runs_take_their_config_from_the_folder(tmp_path, capsys):
    for name, rate in (("a", 0.1), ("b", 0.2)):
        write(tmp_path / name / "evaluate_6")
        path = tmp_path / name / "evaluate_6" / "metrics.json"
        summary = json.loads(path.read_text())
        del summary["made_with"]
        path.write_text(json.dumps(summary))
        config = {"optim": {"rate": rate}, "dataset_digest": name}
        (tmp_path / name / "config.json").write_text(json.dumps(config))
    out = printed(capsys, *(str(tmp_path / name / "evaluate_6") for name in "ab"))
    assert "optim.rate: 0.1, 0.2" in out and "dataset: ped2 (a), ped2 (b)" in out
    assert "evaluate_6 (1)" in out and "evaluate_6 (2)" in out


@pytest.mark.parametrize("content", ["{", "[]", '{"auc": 1}', "\udcff", "[" * 100_000])
def test_files_that_are_no_summary_are_refused(tmp_path, content):
    (tmp_path / "metrics.json").write_bytes(content.encode("utf-8", "surrogateescape"))
    with pytest.raises(SystemExit, match="^error: .*metrics.json(:1)?: "):
        table.main([str(tmp_path)])


def test_a_figure_of_the_first_state_alone_is_shown(capsys):
    summary = {"title": "t", "metrics": {"auc": 0.7}, "untrained": {"auc": 0.5, "auc:old": 0.4}}
    table.print_table(summary)
    assert cells(capsys.readouterr().out, "auc:old")[1:] == ["–", "0.4000"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"metrics": {"auc": "0.9"}}, r"metrics\.auc is '0\.9'; expected"),
        ({"metrics": {"auc": [0.9]}}, r"metrics\.auc is a list"),
        ({"metrics": {"other:x": 0.5}}, "metrics has 'other:x', which is no figure"),
        ({"untrained": {"auc": "x"}}, r"untrained\.auc is 'x'; expected"),
        ({"untrained": []}, "untrained is a list"),
        ({"metrics": {"auc_anomalous": 10**19}}, r"auc_anomalous is 1e\+19; expected 0 to 1"),
        ({"metrics": {"pr_auc": 1.5}}, r"pr_auc is 1\.5; expected 0 to 1"),
        ({"untrained": {"auc:speed": -0.1}}, r"auc:speed is -0\.1; expected 0 to 1"),
        ({"title": 5}, "title is 5; expected text"),
        ({"made_with": 5}, "made_with is 5; expected"),
        ({"made_with": {"dataset": {"sha256": 5}}}, "made_with.dataset.sha256 is 5; expected text"),
    ],
)
def test_summaries_of_other_types_are_refused(tmp_path, change, message):
    summary = {"title": "mil on toy (test), step 3 (last), seed 0", "metrics": {"auc": 0.5}}
    (tmp_path / "metrics.json").write_text(json.dumps(summary | change))
    with pytest.raises(ValueError, match=rf"metrics\.json: {message}"):
        comparison.read_run(tmp_path)


def test_figures_that_are_no_shares_have_any_value(tmp_path):
    figures = {"videos": 12, "flow_error": 3.5, "auc": None, "threshold": -2.0}
    summary = {"title": "mil on toy (test), step 3 (last), seed 0", "metrics": figures}
    (tmp_path / "metrics.json").write_text(json.dumps(summary))
    assert comparison.read_run(tmp_path).summary["metrics"] == figures


@pytest.mark.parametrize("content", [b"", b'{"title": ', b"[]", b"[" * 100_000, b'{"t": "\xff"}'])
def test_summaries_that_are_none(tmp_path, content):
    (tmp_path / "metrics.json").write_bytes(content)
    with pytest.raises(ValueError, match=r"metrics\.json"):
        comparison.read_run(tmp_path)


def test_runs_without_labels_have_no_table(tmp_path, capsys):
    run = write(tmp_path / "own", metrics={"videos": 2, "frames": 90})
    summary = json.loads((tmp_path / "own/metrics.json").read_text()) | {"untrained": {}}
    (tmp_path / "own/metrics.json").write_text(json.dumps(summary | {"labels": {}}))
    assert printed(capsys, run) == "own: no figures; a run on videos without labels has none\n"
