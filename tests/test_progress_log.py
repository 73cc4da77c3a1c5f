"""Progress on a terminal is also in the log."""

from __future__ import annotations

import pytest

from pestle import progress


def test_a_bar_on_a_terminal_leaves_lines_in_the_log(monkeypatch: pytest.MonkeyPatch) -> None:
    kept: list[str] = []
    monkeypatch.setattr(progress, "RECORDS_APART", 0.0)
    monkeypatch.setattr(progress, "record", lambda _level, text: kept.append(text))
    monkeypatch.setattr(progress.console, "_force_terminal", True)
    task = progress.Task("searching", 4)
    task.to(1, "CH4 at 10 GPa")
    assert len(kept) == 1 and kept[0].startswith("searching: 1 of 4")


def test_a_change_from_rounding_is_a_change_from_zero() -> None:
    from pestle.metrics import FrameErrors, compact_error_table

    def one(energy: float, forces: float | None) -> dict[str, FrameErrors]:
        return {"all": FrameErrors(n_frames=2, energy_rmse=energy, forces_rmse=forces)}

    table = compact_error_table(
        {
            "valid": {"foundation": one(736.0, 5.0), "fine-tuned": one(5.89, 2.0)},
            "replay": {"foundation": one(1e-6, None), "fine-tuned": one(259.0, None)},
        }
    )
    assert table.rows[0][2:] == ["736 → 5.89", "5.00 → 2.00"]
    assert table.rows[1][2:] == ["0 → 259", "—"]
