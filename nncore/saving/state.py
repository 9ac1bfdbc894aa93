"""How a model is trained, and how far that has come, in a file: what ``fit`` and ``train_on_batch`` go on from.

Besides what configs say, that is

- of the optimizer: its variables, as ``optimizer/vars/0`` and so on, in Keras's order for the weights that are trained
  now, the step count among them; as ``optimizer/resting/NAME`` the slots of a weight that was trained before and is
  frozen now; a learning rate in full precision; the weights that ``exclude_from_weight_decay`` names.
- of ``compile``: ``check_finite``, ``on_nan``, and the loss that the first data chose for ``"crossentropy"``.
- of what is random: the seed that ``train_on_batch`` uses, which is the model's own. All other seeds are drawn from the
  stream that ``set_random_seed`` begins and the whole process shares: ``fit`` takes the next one each time. Loading
  neither moves that stream nor puts it anywhere. The file says where it was: after ``nncore.random.set_seed(N)``, with
  ``N`` being ``read_metadata(path)["nncore"]["random"]["stream"]``, a loaded model goes on with the same seeds as the
  one that was saved. (``None``: no seed was set, and there is nothing to go on with.)
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np

from nncore import losses, random
from nncore.arguments import is_integer
from nncore.guard import MODES
from nncore.saving.names import named_variables
from nncore.serialization import serialize_keras_object

Array = np.ndarray[Any, Any]

VARIABLES, RESTING = "optimizer/vars/", "optimizer/resting/"


def training_state(model: Any) -> tuple[dict[str, Array], dict[str, str], dict[str, Any]]:
    """The arrays of a compiled model's training, what they are called, and what else there is to it, as JSON-able
    values."""
    trainer = model.trainer("save")
    arrays, names, own = _optimizer_state(model)
    own["random"] = {"train_on_batch": trainer._seed, "stream": random.position()}
    own["compile"] = {"check_finite": trainer.finite, "on_nan": trainer.on_nan}
    return arrays, names, own


def with_chosen_loss(model: Any, config: dict[str, Any]) -> dict[str, Any]:
    """The config of a compiled model, with the loss that data chose in place of ``"crossentropy"``."""
    compiled = config["compile_config"]
    named = compiled["loss"]
    if model.loss is None or not isinstance(named, str) or named.lower() not in losses.BY_SHAPE:
        return config
    return {**config, "compile_config": {**compiled, "loss": serialize_keras_object(model.loss)}}


def restore(model: Any, arrays: Mapping[str, Array], own: Mapping[str, Any]) -> None:
    """Put the training of a compiled model where it was; ``ValueError`` where the file does not fit it."""
    trainer = model.trainer("load_model")
    _restore_optimizer(model, arrays, own)
    settings, seeds = own.get("compile", {}), own.get("random", {})
    trainer.finite = bool(settings.get("check_finite", trainer.finite))
    trainer.on_nan = _one_of(MODES, "on_nan", settings.get("on_nan", trainer.on_nan))
    trainer._seed = _count("random", seeds.get("train_on_batch", trainer._seed))


def _optimizer_state(model: Any) -> tuple[dict[str, Array], dict[str, str], dict[str, Any]]:
    optimizer = model.optimizer
    known = {id(variable): name for name, variable in named_variables(model)}
    own: dict[str, Any] = {"steps": optimizer.steps}
    if isinstance(optimizer._learning_rate, float):
        own["learning_rate"] = optimizer._learning_rate  # Keras's variable has it as float32
    undecayed = [name for name, variable in named_variables(model) if not optimizer._decays(variable)]
    if undecayed:
        own["undecayed"] = undecayed
    variables, resting = optimizer.state_for(model.trainable_variables)
    arrays = {f"{VARIABLES}{i}": variable.value for i, variable in enumerate(variables)}
    for variable, slots in resting:
        if id(variable) in known:  # else its layer is gone
            arrays[f"{RESTING}{known[id(variable)]}"] = slots
    names = {f"{VARIABLES}{i}": variable.path for i, variable in enumerate(variables)}
    return arrays, {VARIABLES[:-1]: optimizer.name, **names}, own


def _restore_optimizer(model: Any, arrays: Mapping[str, Array], own: Mapping[str, Any]) -> None:
    optimizer = model.optimizer
    known = dict(named_variables(model))
    undecayed = own.get("undecayed")
    if undecayed:
        optimizer.exclude_from_weight_decay([known[name] for name in undecayed])
    resting = {name: array for name, array in arrays.items() if name.startswith(RESTING)}
    names = [f"{VARIABLES}{i}" for i in range(len(arrays) - len(resting))]
    values = [arrays[name] for name in names if name in arrays]
    if len(values) != len(names):
        raise ValueError(f"it lacks some of the optimizer's variables, {VARIABLES}0 to {len(names) - 1}")
    if values or resting:
        if model.trainable_variables and values:
            optimizer.build(model.trainable_variables)
        variables = optimizer.variables
        if not own and len(values) != len(variables):
            _say_that_it_is_lost(values)
            return
        if [v.shape for v in variables] != [np.shape(value) for value in values]:
            raise ValueError(
                f"the optimizer's variables have the shapes {[v.shape for v in variables][:8]}…, and those in the file "
                f"{[np.shape(value) for value in values][:8]}…"
            )
        for variable, value in zip(variables, values, strict=True):
            variable.assign(value)
        optimizer.rest([(known[name.removeprefix(RESTING)], array) for name, array in resting.items()])
    optimizer.steps = _count("steps", own.get("steps", optimizer.steps))
    if "learning_rate" in own:
        optimizer.learning_rate = own["learning_rate"]


def _say_that_it_is_lost(values: list[Array]) -> None:
    """Say that Keras has left a state of no use; none is missed where no step was done."""
    if values and np.any(values[0]):
        warnings.warn(
            "load_model: training begins anew, since the optimizer's state in the file is that of Keras 2, or of other "
            "weights than those that are trainable. (So it is where trainable was changed without another compile.)",
            stacklevel=2,
        )


def _count(what: str, value: Any) -> int:
    if not is_integer(value) or not 0 <= value < 2**63:
        raise ValueError(f"{what} must be an integer from 0 to 2**63. Received: {value!r:.60}")
    return int(value)


def _one_of(known: tuple[str, ...], what: str, value: Any) -> str:
    if value not in known:
        raise ValueError(f"{what} must be one of {', '.join(known)}. Received: {value!r:.60}")
    return str(value)
