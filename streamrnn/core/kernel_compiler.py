"""Numba's compiler without the work that kernels do not need."""

import operator as operators
from functools import partial
from operator import getitem
from typing import Any, cast

import numba
from numba.core.compiler import Compiler

NEEDLESS = {
    "WithLifting", "InlineClosureLikes", "MakeFunctionToJitFunction", "InlineInlinables", "FindLiterallyCalls",
    "LiteralUnroll", "LiteralPropagationSubPipelinePass", "DumpParforDiagnostics",
}  # fmt: skip
"""Numba's passes for closures and other features that no kernel contains."""
SCALARS = (numba.types.Number, numba.types.Boolean)
OPERATORS = {each for name, each in vars(operators).items() if callable(each) and not name.startswith("_")} | {bool}
"""Functions whose result types are remembered for numbers."""


def _optimize_once(library: Any) -> None:
    """Optimize a module once. Numba optimizes twice, the first time only to remove more reference counts."""
    passes, builder = library._codegen._module_pass_manager()  # noqa: SLF001
    passes.run(library._final_module, builder)  # noqa: SLF001


def _remember_operators(context: Any) -> None:
    """Let a typing context look up the types of operations on numbers, which numba infers again at each occurrence."""
    resolve, known = context.resolve_function_type, {}

    def remember(function: Any, arguments: tuple[Any, ...], keywords: dict[str, Any]) -> Any:
        operator = getattr(function, "typing_key", function)
        scalars = arguments[1:] if operator is getitem and isinstance(arguments[0], numba.types.Array) else arguments
        if keywords or operator not in OPERATORS or not all(isinstance(each, SCALARS) for each in scalars):
            return resolve(function, arguments, keywords)
        if (operator, arguments) not in known:
            known[operator, arguments] = resolve(function, arguments, keywords)
        return known[operator, arguments]

    if not hasattr(resolve, "remembers"):
        remember.remembers = True  # type: ignore[attr-defined]
        context.resolve_function_type = remember


class KernelCompiler(Compiler):
    """Numba's compiler with `_optimize_once`, which saves a tenth of the compilation time, and without needless passes.

    The passes handle closures, literals and features that no kernel contains.
    """

    def __init__(self, typing: Any, target: Any, library: Any, *others: Any) -> None:
        _remember_operators(typing)
        library = target.codegen().create_library("kernel")
        library.enable_object_caching()
        library._optimize_final_module = partial(_optimize_once, library)  # noqa: SLF001
        super().__init__(typing, target, library, *others)  # type: ignore[no-untyped-call]

    def define_pipelines(self) -> list[Any]:
        """Return numba's pipelines without NEEDLESS."""
        pipelines = super().define_pipelines()  # type: ignore[no-untyped-call]
        for each in pipelines:
            each.passes = [(step, text) for step, text in each.passes if step.__name__ not in NEEDLESS]
        return cast("list[Any]", pipelines)
