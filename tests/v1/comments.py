"""What the contract's comments say, read from its source."""

import re
from collections.abc import Iterator
from functools import cache
from importlib.resources import files
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet
from grpc_tools import protoc  # type: ignore[import-untyped]  # it has no stubs

ROOT = Path(__file__).parents[2]

_SENTENCE_END = re.compile(r"(?<=[.;]) ")
_NUMBER = re.compile(r"\d|negative is")
_OF_ANOTHER_RPC = re.compile(r"those of (\w+)(?: but (\w+))?")
_REASON = re.compile(r"\b_?[A-Z][A-Z_]{4,}\b")


@cache
def numbers_stated() -> frozenset[tuple[str, str]]:
    """Every sentence of a comment that has a number in it, or forbids some, with the element that it is about: `Work`,
    `Work.quantity`, or a file for what stands at its head. Sentences end at full stops and semicolons.
    """
    return frozenset((element, sentence) for element, sentence in _sentences() if _NUMBER.search(sentence))


def errors_stated() -> dict[str, frozenset[str]]:
    """The reasons that the comment of each RPC names after `Errors:`. "Those of" another RPC are in them."""
    stated: dict[str, frozenset[str]] = {}
    for element, text in _comments():
        _, colon, errors = text.partition("Errors:")
        if colon:
            others = [stated[rpc] - {but} for rpc, but in _OF_ANOTHER_RPC.findall(errors)]
            stated[element.rpartition(".")[2]] = _reasons(_OF_ANOTHER_RPC.sub("", errors)).union(*others)
    return stated


def errors_of_every_rpc() -> frozenset[str]:
    """The reasons that any RPC may answer, or any that changes something."""
    (sentence,) = (each for _, each in _sentences() if "those named at an RPC" in each)
    return _reasons(sentence)


def _reasons(text: str) -> frozenset[str]:
    """The reasons that a text names. After `RESERVATION_NOT_FOUND` it may say `_COMMITTED` for RESERVATION_COMMITTED."""
    found: list[str] = []
    for name in _REASON.findall(text):
        found.append(found[-1].split("_")[0] + name if name.startswith("_") else name)
    return frozenset(found)


def _sentences() -> Iterator[tuple[str, str]]:
    return ((element, each) for element, text in _comments() for each in _SENTENCE_END.split(text))


def _comments() -> Iterator[tuple[str, str]]:
    for file in _sources().file:
        for location in file.source_code_info.location:
            comments = (*location.leading_detached_comments, location.leading_comments, location.trailing_comments)
            text = " ".join(" ".join(comments).split())
            if text:
                yield _element(file, list(location.path)), text


def _sources() -> FileDescriptorSet:
    """The contract with its comments. Protobuf's own files come with grpcio-tools."""
    sources = sorted(map(str, (ROOT / "proto/creditmeter/v1").glob("*.proto")))
    includes = [f"-I{path}" for path in (ROOT / "proto", ROOT / "third_party/proto", files("grpc_tools") / "_proto")]
    with TemporaryDirectory() as directory:
        out = Path(directory) / "contract"
        code = protoc.main(["protoc", *includes, "--include_source_info", f"--descriptor_set_out={out}", *sources])
        assert code == 0, "the contract is right"
        return FileDescriptorSet.FromString(out.read_bytes())


def _element(file: FileDescriptorProto, path: list[int]) -> str:
    """What a location's path leads to, by the names on the way."""
    names = []
    place: Any = file
    while len(path) > 1:
        step, index, *path = path
        place = getattr(place, place.DESCRIPTOR.fields_by_number[step].name)[index]
        names.append(place.name)
    return ".".join(names) or Path(file.name).name
