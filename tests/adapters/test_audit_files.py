"""A file of exported events proves itself: whatever was done to it is found and named."""

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from adapters.audit import lines
from adapters.audit.exports import WrongExport
from adapters.audit.files import Head
from adapters.audit.lines import FORMATS, Line
from tests.exporting import tampering, told, verified, whole

__all__ = ["tampering", "whole"]

QUIET = settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])

OTHER_VALUES = {
    "stream": "other",
    "version": 99,
    "type": "Other",
    "schema_version": 99,
    "correlation_id": "00000000-0000-0000-0000-000000000001",
    "causation_id": "00000000-0000-0000-0000-000000000002",
    "command_id": "00000000-0000-0000-0000-000000000003",
    "actor": "other",
    "data": msgspec.Raw(b'"b3RoZXI="'),
}


@pytest.mark.parametrize("format_", FORMATS)
@QUIET
@given(data=st.data())
async def test_any_single_tampering_is_found_and_named(whole, tmp_path, format_, data):
    read = list(lines.read("jsonl", whole))
    at = {line.position or 0: number for number, line in enumerate(read) if line.kind == "event"}
    position, other = data.draw(st.lists(st.sampled_from(sorted(at)), min_size=2, max_size=2, unique=True))
    line = read[at[position]]
    expected: set[tuple[str, int]] | None
    match data.draw(st.sampled_from(["alter", "remove", "swap", "insert", "repeat", "hide", "unseal", "cut", "push"])):
        case "alter":
            column = data.draw(st.sampled_from(sorted(OTHER_VALUES)))
            changed = {column: OTHER_VALUES[column], **({"encoding": "base64"} if column == "data" else {})}
            read[at[position]] = msgspec.structs.replace(line, **changed)
            expected = {("altered", position)}
        case "remove":
            del read[at[position]]
            expected = {("removed", position)}
        case "swap":
            read[at[position]], read[at[other]] = read[at[other]], line
            expected = {("moved", position), ("moved", other)}
        case "insert":
            read.insert(at[position], msgspec.structs.replace(line, actor="other"))
            expected = {("inserted", position)}
        case "repeat":
            read.insert(at[other], line)
            expected = None
        case "hide":
            read[at[position]] = Line(kind="leaf", position=position, data=msgspec.Raw(b'"AAAA"'))
            expected = {("removed", position)}
        case "unseal":
            del read[next(n for n, x in enumerate(read) if x.kind == "seal" and x.position != 1)]
            expected = None
        case "cut":
            del read[at[position] :]
            expected = None
        case "push":
            read[at[position]] = msgspec.structs.replace(line, position=data.draw(st.sampled_from([0, -4, 99])))
            expected = {("moved", position)}
    lines.write(format_, tmp_path / "tampered", read)
    report, _ = verified(tmp_path / "tampered")
    assert report.findings
    if expected is not None:
        assert told(report) == expected


@QUIET
@given(data=st.data())
async def test_no_byte_of_a_file_can_be_flipped_unnoticed(whole, tmp_path, data):
    content, read = whole.read_bytes(), list(lines.read("jsonl", whole))
    place = data.draw(st.integers(0, len(content) - 1))
    flipped = bytearray(content)
    flipped[place] ^= 1 << data.draw(st.integers(0, 7))
    (tmp_path / "flipped").write_bytes(flipped)
    try:
        report, _ = verified(tmp_path / "flipped")
    except WrongExport:
        return
    # What says the same in other letters (an id in capitals) is no other event.
    assert report.findings or [meant(line) for line in lines.read("jsonl", tmp_path / "flipped")] == list(
        map(meant, read)
    )


def meant(line: Line) -> object:
    if line.kind == "event":
        return line.position, lines.row(line)
    value = msgspec.json.decode(line.data)
    if isinstance(value, dict):
        value = {key: _bytes(part) for key, part in value.items()}
    return line.kind, line.position, _bytes(value)


def _bytes(value: object) -> object:
    """Return what base64 stands for: its last letter has bits that say nothing."""
    try:
        return msgspec.convert(value, bytes)
    except msgspec.ValidationError:
        return value


async def test_a_file_that_lost_its_end_or_its_beginning_does_not_pass_for_a_whole_one(whole, tmp_path):
    read = list(lines.read("jsonl", whole))
    seals = [number for number, line in enumerate(read) if line.kind == "seal"]
    lines.write("jsonl", tmp_path / "end", read[: seals[-1]])
    assert told(verified(tmp_path / "end")[0]) == {("unsealed", n) for n in range(15, 21)}
    lines.write("jsonl", tmp_path / "begin", [read[0], *read[seals[1] :]])
    assert told(verified(tmp_path / "begin")[0]) == {("unsealed", n) for n in range(2, 8)}
    lines.write("jsonl", tmp_path / "none", read[:1])
    assert told(verified(tmp_path / "none")[0]) == {("unsealed", n) for n in range(2, 21)}
    narrower = msgspec.structs.replace(msgspec.json.decode(read[0].data, type=Head), last=14)
    lines.write("jsonl", tmp_path / "narrower", [lines.line("head", narrower), *read[1 : seals[-1]]])
    assert ("forged", 2) in told(verified(tmp_path / "narrower")[0])


@pytest.mark.parametrize(
    ("what", "forged"),
    [
        (b'"data":', b'"data":{"price":"1"},"data":'),
        (b'"type":"', b'"type":"OrderCanceled","type":"'),
        (b'"kind":"event"', b'"kind": "event"'),
    ],
    ids=["data", "type", "blank"],
)
async def test_a_line_says_nothing_that_is_not_proved(whole, tmp_path, what, forged):
    written = whole.read_bytes().splitlines(keepends=True)
    number = next(n for n, line in enumerate(written) if b'"kind":"event"' in line and what in line)
    written[number] = written[number].replace(what, forged, 1)
    (tmp_path / "more").write_bytes(b"".join(written))
    with pytest.raises(WrongExport, match=f"line {number + 1} is no line of an export: it holds more than what it"):
        verified(tmp_path / "more")


async def test_a_file_of_seals_that_somebody_else_signed_is_found(whole, tmp_path):
    read = list(lines.read("jsonl", whole))
    other = Ed25519PrivateKey.generate()
    head = msgspec.json.decode(read[0].data, type=Head)
    head = msgspec.structs.replace(head, public_key=other.public_key().public_bytes_raw())
    head = msgspec.structs.replace(head, signature=other.sign(head.statement))
    lines.write("jsonl", tmp_path / "other", [lines.line("head", head), *read[1:]])
    assert {kind for kind, _ in told(verified(tmp_path / "other")[0])} >= {"forged"}


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "does not begin with what it is"),
        (b"what is this\n", "line 1 is no line"),
        (b'{"kind":"event","position":1,"data":{}}\n', "does not begin with what it is"),
        (b'{"kind":"head","data":{"format":"nectar events 1","public_key":"AA==","first":1,"last":2}}\n', "line 1"),
        (b"kind,position\nhead,1\n", "its columns are not"),
        (b"PAR1 and no more", "damaged"),
        (b"\xff\xfe\x00", "line 1"),
    ],
)
async def test_what_is_no_export_is_refused(tmp_path, content, why):
    (tmp_path / "file").write_bytes(content)
    with pytest.raises(WrongExport, match=why):
        verified(tmp_path / "file")


async def test_another_version_of_the_format_is_refused(whole, tmp_path):
    (tmp_path / "file").write_bytes(whole.read_bytes().replace(b"nectar events 1", b"nectar events 2", 1))
    with pytest.raises(WrongExport, match="'nectar events 2' instead of 'nectar events 1'"):
        verified(tmp_path / "file")
