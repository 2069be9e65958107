"""A network that is converted in a moment, for tests and for the scripts that they start."""

import keras

from omi_keras.beats.contracts import CONTRACT, input_shape


def small(name="mayo_alvd", contract=CONTRACT):
    """Its name chooses which layers stay in float."""
    beat = keras.Input(input_shape(contract))
    x = keras.layers.AveragePooling2D((1, 20), name="temporal1")(beat)
    x = keras.layers.Dense(16, activation="relu", name="fc")(keras.layers.Flatten()(x))
    return keras.Model(beat, keras.layers.Dense(2, name="out")(x), name=name)
