"""The stored form of labels: an object with the caller's own keys, in which history is searched. It has no number."""

from collections.abc import Mapping

from creditmeter.forms.body import Form

LABELS = Form[Mapping[str, str]](dict[str, str], dict[str, str])
