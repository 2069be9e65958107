"""Several networks of one architecture as one: the mean of their logits (Lakshminarayanan et al. 2017, Deep Ensembles).

The network has the name of its architecture. Layer ``conv1`` of its members is ``member0_conv1``, ``member1_conv1`` …,
so that what is chosen by a layer's name (what int8 leaves in float, what is computed in another order) is chosen in all
of them. Random forests are joined to one forest of all trees.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from omi_keras.beats.contracts import CONTRACT
from omi_keras.models.catalogue import NETWORKS, build
from omi_keras.recordings.errors import InputError

if TYPE_CHECKING:
    import keras

    from omi_keras.models.random_forest import RandomForest

# The layer after the members' read-outs.
MEAN = "mean"
_MEMBER = re.compile(r"member\d+_")


def build_ensemble(name: str, members: int, contract: str = CONTRACT) -> keras.Model:
    """A network of ``members`` networks of the catalogue, with random weights.

    Input as theirs, output (batch, 2): the mean of their logits, so P(OMI) = softmax[1] as of one network.

    Raises
    ------
    InputError
        As :func:`omi_keras.models.catalogue.build`.
    """
    architecture = build(name, contract=contract)
    import keras

    beat = keras.Input(architecture.input_shape[1:], name="beat")
    logits = [_member(architecture, number, beat) for number in range(members)]
    # As everything in its members, the mean does not ask which precision Keras would take today.
    return keras.Model(beat, keras.layers.Average(name=MEAN, dtype="float32")(logits), name=architecture.name)


def ensemble_of(networks: Sequence[keras.Model], contract: str = CONTRACT) -> keras.Model:
    """The networks, two or more of one architecture of the catalogue, as one; their weights are copied."""
    name = next(name for name in NETWORKS if name.replace("-", "_") == networks[0].name)
    ensemble = build_ensemble(name, len(networks), contract)
    for number, network in enumerate(networks):
        for layer in network.layers:
            if layer.weights:
                ensemble.get_layer(_named(layer.name, number)).set_weights(layer.get_weights())
    return ensemble


def joined_forest(forests: Sequence[RandomForest]) -> RandomForest:
    """One forest of all trees: its probability is the mean of the forests', whose numbers of trees are equal.

    Raises
    ------
    InputError
        When they are not.
    """
    from sklearn.ensemble import RandomForestClassifier

    from omi_keras.models.random_forest import RandomForest

    first = forests[0].forest
    if len({len(one.forest.estimators_) for one in forests}) > 1:
        raise InputError("the forests have different numbers of trees, so their trees do not weigh the same", "input")
    trees = [tree for one in forests for tree in one.forest.estimators_]
    whole = RandomForestClassifier(n_estimators=len(trees), n_jobs=1)
    whole.estimators_ = trees
    for fitted in ("estimator_", "classes_", "n_classes_", "n_outputs_", "n_features_in_"):
        setattr(whole, fitted, getattr(first, fitted))
    return RandomForest(whole, forests[0].features)


def members_of(network: keras.Model) -> int:
    """Of how many networks it is the mean; 1 when it is no ensemble."""
    return members_in(layer.name for layer in network.layers)


def members_in(layers: Iterable[str]) -> int:
    """:func:`members_of` a network with layers of these names."""
    return len({found[0] for name in layers if (found := _MEMBER.match(name))}) or 1


def own_name(layer: str) -> str:
    """``member3_conv1`` → ``conv1``: a layer's name in its member, and in a network that is no ensemble."""
    return _MEMBER.sub("", layer, count=1)


def in_all_members(network: keras.Model, names: Iterable[str]) -> tuple[str, ...]:
    """Names of layers, or the beginnings of names, as the network's layers have them."""
    members = members_of(network)
    return tuple(names) if members == 1 else tuple(_named(name, k) for k in range(members) for name in names)


def one_member(ensemble: keras.Model, number: int) -> keras.Model:
    """One of an ensemble's networks, with its layers' own names; the weights are copied."""
    import keras

    logits = read_outs(ensemble)[number].output

    def renamed(layer: keras.Layer) -> keras.Layer:
        return type(layer).from_config(layer.get_config() | {"name": own_name(layer.name)})

    part = keras.Model(ensemble.input, logits, name=ensemble.name)
    member = keras.models.clone_model(part, clone_function=renamed)
    member.set_weights(part.get_weights())
    return member


def read_outs(network: keras.Model) -> list[keras.layers.Dense]:
    """The linear layers that give the logits: one of each member.

    What scales or shifts the logits of each alike, does so to their mean.
    """
    if members_of(network) == 1:
        return [network.layers[-1]]
    return [node.operation for node in network.get_layer(MEAN)._inbound_nodes[0].parent_nodes]


def _named(layer: str, number: int) -> str:
    return f"member{number}_{layer}"


def _member(architecture: keras.Model, number: int, beat: keras.KerasTensor) -> keras.KerasTensor:
    import keras

    def renamed(layer: keras.Layer) -> keras.Layer:
        return type(layer).from_config(layer.get_config() | {"name": _named(layer.name, number)})

    return keras.models.clone_model(architecture, input_tensors=beat, clone_function=renamed).outputs[0]
