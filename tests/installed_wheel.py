"""What a user of the wheel gets; script/test-wheel runs it where the wheel is installed and the sources are not."""

from importlib.metadata import distribution, entry_points

import vfax


def test_wheel_brings_the_command_the_provider_and_no_tests() -> None:
    (command,) = entry_points(group="console_scripts", name="vfax")
    (provider,) = entry_points(group="vfax.providers")
    assert command.value == "vfax.__main__:main"
    assert callable(command.load())
    assert provider.load().__name__ == "create_provider"
    shipped = {path.parts[0] for path in distribution("vfax").files or []}
    assert not {"tests", "bench", "script"} & shipped
    assert distribution("vfax").version == vfax.__version__
