from local.stack.configuration import StackConfiguration


def apply(configuration: StackConfiguration) -> None:
    pass
