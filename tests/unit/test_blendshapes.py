"""Channel names and face regions."""

from emotalk.blendshapes import CHANNELS, REGIONS, channel_indices


def test_the_channels_are_52_names_in_alphabetical_order():
    assert len(set(CHANNELS)) == 52
    assert list(CHANNELS) == sorted(CHANNELS)
    assert (CHANNELS[0], CHANNELS[24], CHANNELS[-1]) == ("browDownLeft", "jawOpen", "tongueOut")


def test_the_mouth_region_includes_jaw_and_lip_closure():
    assert {"jawOpen", "mouthClose", "tongueOut"} <= set(REGIONS["mouth"])
    assert len(REGIONS["mouth"]) == 4 + 23 + 1


def test_the_upper_regions_and_region_all_have_the_expected_sizes():
    assert len(REGIONS["brows"]) == 5
    assert len(REGIONS["eyes"]) == 14
    assert channel_indices(REGIONS["all"]) == list(range(52))
