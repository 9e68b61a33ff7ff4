"""The parts of SSMTL together learn two clips by heart (spec ssmtl §12, points 2 and 3)."""

import functools

import jax
import numpy as np
import optax
import pytest

from vadjax.data.video.crops import cut, rectangles
from vadjax.ops import compilation
from vadjax.systems.ssmtl import tasks
from vadjax.systems.ssmtl.loss import training_loss
from vadjax.systems.ssmtl.model import MultiTaskNet
from vadjax.systems.ssmtl.score import object_scores, task_scores

FRAMES, SIZE, SIDE, STEPS = 24, (48, 96), 16, 100
TASKS = ("arrow", "irregularity", "middle")


def clip(rng, speed: int) -> tuple[np.ndarray, np.ndarray]:
    """Frames uint8 [T, H, W, 3] with a patch that moves steadily, and its box in each [T, 4]."""
    frames = np.full((FRAMES, *SIZE, 3), 90, np.uint8)
    patch = rng.integers(40, 140, (2, 2, 3), np.uint8).repeat(8, 0).repeat(8, 1)
    boxes = []
    for t, frame in enumerate(frames):
        x = 16 + speed * t if speed > 0 else 64 + speed * t
        frame[16:32, x : x + 16] = patch
        boxes.append((x - 4.0, 12, x + 20, 36))
    return frames, np.array(boxes)


@pytest.fixture(scope="module")
def objects():
    """(clip, frame) → its batch of one object for an epoch."""
    rng = np.random.default_rng(0)
    clips = [clip(rng, speed) for speed in (2, -2)]

    def make(number, frame, epoch):
        frames, boxes = clips[number]
        rectangle = rectangles(boxes[frame : frame + 1], SIZE)[0]
        drawn = tasks.draw(0, epoch, number, frame, 0)
        numbers = tasks.task_frames(frame, drawn, FRAMES)
        regular = tasks.regular_frames(frame, FRAMES)
        return {
            "crops": cut(frames[regular], rectangle, SIDE),
            "irregular_crops": cut(frames[numbers.irregularity], rectangle, SIDE),
            "backward": drawn.backward,
            "irregular": drawn.irregular,
        }

    places = [(n, frame) for n in range(len(clips)) for frame in tasks.trainable(FRAMES)]

    def batch(epoch, chosen=slice(None)):
        found = [make(*place, epoch) for place in places[chosen]]
        return {key: np.stack([own[key] for own in found]) for key in found[0]}

    return batch


@pytest.mark.slow
def test_two_clips_are_learnt(objects):
    net = MultiTaskNet("shallow_narrow", TASKS, momentum=0.9)  # so few steps
    optimiser = optax.adam(optax.cosine_decay_schedule(3e-3, STEPS))
    first, _ = tasks.training_inputs(objects(0))
    variables = jax.jit(net.init)(jax.random.key(0), first)

    @functools.partial(jax.jit, compiler_options=compilation.step_options())
    def update(variables, moments, batch):
        inputs, targets = tasks.training_inputs(batch)

        def loss(params):
            outputs, changed = net.apply(
                {**variables, "params": params}, inputs, True, mutable="batch_stats"
            )
            return training_loss(outputs, targets)[0], changed

        gradient, changed = jax.grad(loss, has_aux=True)(variables["params"])
        steps, moments = optimiser.update(gradient, moments)
        return {"params": optax.apply_updates(variables["params"], steps), **changed}, moments

    moments = optimiser.init(variables["params"])
    for step in range(STEPS):
        batch = objects(step // 3, slice(step % 3, None, 3))
        variables, moments = update(variables, moments, batch)

    apply = jax.jit(net.apply)
    right, middle = {"arrow": [], "irregularity": []}, []
    for epoch in range(3):
        inputs, targets = tasks.training_inputs(objects(epoch))
        outputs = apply(variables, inputs)
        for task, found in right.items():
            found.append(outputs[task].argmax(1) == targets[task])
        middle.append(np.abs(outputs["middle"] - targets["middle"]).mean())
    for task, found in right.items():
        assert np.mean(found) > 0.95, task
    assert np.mean(middle) < 0.03

    crops = objects(0)["crops"]
    scoring = jax.jit(functools.partial(net.apply, method="score_outputs"))
    forward, backward = scoring(variables, crops), scoring(variables, crops[:, ::-1])
    ahead = task_scores(forward, crops[:, tasks.REACH])
    back = task_scores(backward, crops[:, tasks.REACH])
    assert (back["arrow"] > ahead["arrow"]).mean() > 0.95
    assert object_scores(back).mean() > object_scores(ahead).mean() + 0.2
