"""One kernel for the tests of a module; tests that end or wound it take `fresh`."""

import pytest

from conversation import Conversation


@pytest.fixture(scope="module")
def talk(tmp_path_factory):
    conversation = Conversation(tmp_path_factory.mktemp("home"))
    yield conversation
    conversation.close()


@pytest.fixture
def fresh(tmp_path):
    conversation = Conversation(tmp_path)
    yield conversation
    conversation.close()
