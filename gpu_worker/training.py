"""A training: preprocessing, the loop for each network, the report. Shape letters: K = classes, H and W = input height and width.

The loop of one job is decided by its order, its images and the first attempt's threads and precision, by nothing else: an attempt
that goes on from a checkpoint computes what the interrupted one would have computed (bit for bit on a CPU).
"""

import hashlib
import math
import time
from collections.abc import Sequence
from typing import Final, NamedTuple

import msgspec
import torch
from torch import nn

from domain.artifacts import Artifact
from domain.evaluation import Evaluation
from domain.evaluation_figures import figures_of
from domain.messages import KeptWeights, Resources, TrainingOrder, TrainingSucceeded, ValidationMeasured
from domain.refusals import Refusal
from domain.sentences import N_
from domain.training_parameters import SgdParameters
from domain.training_progress import TRAINED_SHARE, share_of_whole
from gpu_worker import checkpoints
from gpu_worker.batch_threads import Indices, answered_by_batch
from gpu_worker.batches import Source
from gpu_worker.checkpoints import Best, Checkpoint, Weights
from gpu_worker.devices import (
    chosen_device,
    describe,
    fastest_precision,
    keep_evaluation_exact,
    software,
)
from gpu_worker.jobs import Job, JobStopped, Progress, kept_part_logs
from gpu_worker.lanes import Lanes, Loss, lane_count
from gpu_worker.loss_curve import LossCurve, file_of, not_finite
from gpu_worker.metrics import Judged, evaluate, evaluation_of
from gpu_worker.networks import initial_weights_file, load_initial_weights, network_of, new_network, save_weights
from gpu_worker.parts import Part, parts_of
from gpu_worker.preprocessing import Prepared, keep_bytes, prepare
from gpu_worker.ranks import train_in_ranks
from gpu_worker.recorded_step import RecordedStep
from gpu_worker.resnets import begin_as_shortcuts
from gpu_worker.segmentation import Seen, Segmenter
from gpu_worker.settings import Precision, TrainingSettings
from gpu_worker.sgd import Sgd
from gpu_worker.team import ALONE, Team, team_size

TRAINING = N_("Training")
TRAINING_SEGMENTATION = N_("Training the segmentation")
VALIDATING = N_("Validating")
EVALUATING = N_("Evaluating")

MOST_VALIDATIONS: Final = 20
VALIDATION_COST_SHARE: Final = 0.1
"""Validations may take about this share of the training's time; judging an image costs a third of learning from it."""

HIGH_RATE: Final = 0.05
"""From this rate on a network from nothing begins shallow, as its shortcuts, because the first large steps would spoil a deep one.
At low rates it would deepen too slowly: 180 steps at 0.01 then learnt half of what they learn otherwise (benchmarks/README.md).
"""


class SegmentationIsNotOrdered(Refusal):
    """Queued before there was a worker that trains segmentation; leaving it out silently would give another model than wanted."""

    message = N_("This job was queued before the platform could train segmentation. Delete it and make a new one.")


class ImagesChangedMeanwhile(Refusal):
    """Going on with other images would give a model that nothing describes."""

    message = N_(
        "The images changed while the training was interrupted. Start it again, to train with them as they are now."
    )


def train(order: TrainingOrder, needs: Resources, job: Job, settings: TrainingSettings) -> None:
    """Run or resume a training and report its result.

    Raises:
        Refusal: with what a person can do about it.
        JobStopped: the worker shuts down; a checkpoint was written.
    """
    if order.preprocessing.train_segmentation and not (order.segmentation and order.training_parameters.segmentation):
        raise SegmentationIsNotOrdered
    device = chosen_device(needs, on_cpu=settings.on_cpu)
    keep_evaluation_exact()
    started = time.monotonic()
    prepared = prepare(order, job)
    trained = _train_parts(order, needs, prepared, device, job, settings)
    job.report(_result(order, prepared, trained, device, job, started))


class _Trained(NamedTuple):
    """A network whose training has ended; `device` and `software` are those of this attempt, as people read them."""

    part: Part
    best: Best
    end: Checkpoint
    device: str
    software: str


def _train_parts(
    order: TrainingOrder,
    needs: Resources,
    prepared: Prepared,
    device: torch.device,
    job: Job,
    settings: TrainingSettings,
) -> list[_Trained]:
    """One network after the other, each from its checkpoint where it has one."""
    parts = parts_of(order, prepared)
    clock = Clock(settings, parts)
    trained: list[_Trained] = []
    start: Checkpoint | None = None
    for part in parts:
        with job.logging_of(part.part):
            start = _first_or_last_checkpoint(part, order, prepared, device, job, settings, start)
            described = describe(device, Precision(start.precision), start.thread_count)
            job.log.info("training %s on %s", part.network, described)
            count = team_size(needs.gpu_cards, settings.cpu_ranks, part.sgd.batch_size, device)
            if count == 1 or start.iteration == part.sgd.max_iter:
                train_loop(part, start, device, job, clock)
            else:
                train_in_ranks(part, start, order, prepared, device, job, settings, count)
            end = checkpoints.load(job.workspace, part.part)
            assert end is not None, "the last iteration is always saved"
            assert end.best is not None, "and validated before"
            job.log.info("the weights of iteration %s are the best", end.best.iteration)
        trained.append(_Trained(part, end.best, end, described, start.software))
    return trained


def _result(
    order: TrainingOrder,
    prepared: Prepared,
    trained: Sequence[_Trained],
    device: torch.device,
    job: Job,
    started: float,
) -> TrainingSucceeded:
    """The report of the best weights, and of the last where they are others; `started` is on the monotonic clock."""
    left_out_count = prepared.screening.left_out_count
    evaluation = _evaluation(order, prepared, [(one.part, one.best.weights) for one in trained], device, job)
    last_evaluation: Evaluation | None = None
    if any(one.best.iteration < one.end.iteration for one in trained):
        last_evaluation = _evaluation(order, prepared, [(one.part, one.end.model) for one in trained], device, job)
    kept = tuple(_kept_weights(one.part, one.best, one.end, job) for one in trained)
    losses = b"".join(file_of(job.workspace, one.part.part).read_bytes() for one in trained)
    return TrainingSucceeded(
        **job.sender,
        seconds=time.monotonic() - started,
        weights=kept[0].best,
        evaluation=keep_bytes(job, "evaluation.msgpack", msgspec.msgpack.encode(evaluation)),
        figures=figures_of(evaluation, left_out_count),
        log=job.kept_log(),
        losses=keep_bytes(job, "losses.jsonl", losses),
        resolution_rule=prepared.screening.resolution_rule,
        device=" / ".join(dict.fromkeys(one.device for one in trained)),
        software=trained[-1].software,
        segmentation_weights=kept[1].best if len(kept) > 1 else None,
        part_logs=kept_part_logs(job.workspace, job.artifacts),
        kept_weights=kept,
        last_evaluation=keep_bytes(job, "last-evaluation.msgpack", msgspec.msgpack.encode(last_evaluation))
        if last_evaluation
        else None,
        last_figures=figures_of(last_evaluation, left_out_count) if last_evaluation else None,
    )


def train_loop(
    part: Part, start: Checkpoint, device: torch.device, job: Job, clock: "Clock", team: Team = ALONE
) -> None:
    """From a checkpoint to the one of the last iteration, which the first rank of a team saves.

    A loss that is not finite ends it: on a CPU before the step, on a GPU, which works ahead, before anything of the steps since is
    reported or saved.

    Raises:
        LossIsNotFinite, JobStopped, RankLost, RanksDisagree
    """
    sgd = part.sgd
    model = team.ready(_model(part, start.model, device)).train()
    optimizer = Sgd(model, sgd, start.momenta)
    batches = part.batches(device, team)
    validations = _validation_iterations(sgd, part.validation_count)
    best = start.best
    clock.begin(part, start.iteration)
    step = new_step(
        model,
        team.weighed(part.loss),
        batches,
        device,
        image_count=sgd.batch_size // team.count,
        fewest_normalized=part.fewest_normalized,
        bfloat16=start.precision == Precision.BFLOAT16.value,
        is_recorded=not team.normalizes_together(device),
    )
    with LossCurve(job, start, sgd.max_iter, device, part.part) as curve, step:
        for iteration in range(start.iteration, sgd.max_iter):
            rate = sgd.rate_at(iteration)
            loss = team.add_up(model, step.learn(iteration))
            done = iteration + 1
            if device.type == "cpu" and not loss.isfinite():
                curve.publish()
                raise not_finite(part.part, done, rate)
            optimizer.step(rate)
            if not team.is_first:
                continue
            curve.add(loss, rate)
            if done in validations:
                curve.publish()
                best = _validate(part, model, device, done, best, job, clock.progress(done, curve.latest))
            if curve.is_due():
                curve.publish()
                job.tell(clock.progress(done, curve.latest))
            is_stopping = job.is_stopping()
            if is_stopping or done == sgd.max_iter or clock.is_checkpoint_due(done):
                curve.publish(everything=is_stopping or done == sgd.max_iter)
                checkpoint = _checkpoint(start, done, model, optimizer, best, curve)
                checkpoints.save(checkpoint, job.workspace, part.part)
            if is_stopping:
                raise JobStopped
    job.log.info("the parameters have the checksum %s", team.agree(model))


def new_step(
    model: nn.Module,
    loss: Loss,
    batches: Source,
    device: torch.device,
    *,
    image_count: int,
    fewest_normalized: int,
    bfloat16: bool,
    is_recorded: bool = True,
) -> Lanes | RecordedStep:
    """How batches of `image_count` images are learnt from soonest on a device. What asks other ranks cannot be recorded."""
    if device.type == "cuda" and is_recorded:
        return RecordedStep(model, loss, batches, bfloat16=bfloat16)
    count = lane_count(device, torch.get_num_threads(), image_count, fewest_normalized)
    return Lanes(model, loss, batches, device=device, count=count, bfloat16=bfloat16)


class Clock:
    """When to save, and how long everything will still take."""

    def __init__(self, settings: TrainingSettings, parts: Sequence[Part]) -> None:
        self.settings, self.parts = settings, parts
        self.cost = sum(part.sgd.max_iter * part.cost for part in parts)

    def begin(self, part: Part, first_iteration: int) -> None:
        """A part is trained from some iteration on."""
        self.part, self.first_iteration = part, first_iteration
        earlier = self.parts[: self.parts.index(part)]
        self.cost_before = sum(one.sgd.max_iter * one.cost for one in earlier)
        self.iterations_before = sum(one.sgd.max_iter for one in earlier)
        self.started = self.saved = time.monotonic()

    def is_checkpoint_due(self, done: int) -> bool:
        """By time, and by iterations where so set; asking resets the time."""
        every = self.settings.checkpoint_every_iterations
        is_due = (every > 0 and done % every == 0) or (
            time.monotonic() - self.saved >= self.settings.checkpoint_every_seconds
        )
        if is_due:
            self.saved = time.monotonic()
        return is_due

    def progress(self, done: int, loss: float | None) -> Progress:
        """For the heartbeat, after `done` iterations of the part; iterations count over all parts."""
        pace = (time.monotonic() - self.started) / ((done - self.first_iteration) * self.part.cost)
        cost = self.cost_before + done * self.part.cost
        return Progress(
            share=share_of_whole(cost / self.cost),
            activity=TRAINING if self.part is self.parts[0] else TRAINING_SEGMENTATION,
            iteration=self.iterations_before + done,
            loss=loss,
            seconds_left=pace * (self.cost - cost),
        )


def _first_or_last_checkpoint(
    part: Part,
    order: TrainingOrder,
    prepared: Prepared,
    device: torch.device,
    job: Job,
    settings: TrainingSettings,
    earlier: Checkpoint | None,
) -> Checkpoint:
    """Where to go on with a part. A first attempt at it keeps the threads of the part before, `earlier`."""
    identity = hashlib.sha256(msgspec.json.encode(order) + prepared.manifest_checksum.encode()).hexdigest()
    checkpoint = checkpoints.load(job.workspace, part.part)
    if checkpoint is None:
        thread_count = job.cpu_cores if earlier is None else earlier.thread_count
        checkpoint = _new_checkpoint(part, order.seed, identity, device, job, settings, thread_count)
    elif checkpoint.identity != identity:
        raise ImagesChangedMeanwhile
    else:
        job.log.info("going on after iteration %s", checkpoint.iteration)
        if checkpoint.software != software():
            job.log.warning("the attempt before ran on %s, this one runs on %s", checkpoint.software, software())
    go_on_as(checkpoint, device, checkpoint.thread_count)
    return checkpoint


def go_on_as(checkpoint: Checkpoint, device: torch.device, thread_count: int) -> None:
    """Make torch what it was when the checkpoint was made."""
    torch.set_num_threads(thread_count)
    torch.set_rng_state(checkpoint.random_state)
    if device.type == "cuda" and checkpoint.random_states_of_gpus:
        torch.cuda.set_rng_state(checkpoint.random_states_of_gpus[0], device)


def _new_checkpoint(
    part: Part,
    seed: int,
    identity: str,
    device: torch.device,
    job: Job,
    settings: TrainingSettings,
    thread_count: int,
) -> Checkpoint:
    network, code_count = part.network, len(part.defect_codes)
    # As a lane will have it: several threads in one operation would measure how busy the machine is.
    lanes = lane_count(device, thread_count, part.sgd.batch_size, part.fewest_normalized)
    torch.set_num_threads(max(1, thread_count // lanes))
    precision = settings.precision or fastest_precision(new_network(network, code_count, seed), part.input, device)
    model = new_network(network, code_count, seed)
    if part.initial_weights is not None:
        weights = initial_weights_file(part.initial_weights, job.artifacts)
        taken = load_initial_weights(model, weights, network, part.defect_codes)
        job.log.info("starting from the weights %s: %s", part.initial_weights.checksum, taken)
    elif part.sgd.base_lr >= HIGH_RATE:
        begin_as_shortcuts(model)
    return Checkpoint(
        identity=identity,
        iteration=0,
        thread_count=thread_count,
        precision=precision.value,
        model=model.state_dict(),
        momenta={},
        random_state=torch.get_rng_state(),
        random_states_of_gpus=[],
        best=None,
        curve_bytes=0,
        software=software(),
    )


def _checkpoint(
    start: Checkpoint, done: int, model: nn.Module, optimizer: Sgd, best: Best | None, curve: LossCurve
) -> Checkpoint:
    return msgspec.structs.replace(
        start,
        iteration=done,
        model=model.state_dict(),
        momenta=optimizer.momenta,
        random_state=torch.get_rng_state(),
        random_states_of_gpus=[torch.cuda.get_rng_state()] if torch.cuda.is_available() else [],
        best=best,
        curve_bytes=curve.kept_bytes(),
    )


def _kept_weights(part: Part, best: Best, end: Checkpoint, job: Job) -> KeptWeights:
    def keep(weights: Weights) -> Artifact:
        file = job.workspace / f"{part.part.value}.safetensors"
        save_weights(weights, file, part.network, part.defect_codes)
        return job.artifacts.keep(file)

    kept = keep(best.weights)
    return KeptWeights(
        part=part.part,
        best=kept,
        best_iteration=best.iteration,
        last=kept if best.iteration == end.iteration else keep(end.model),
        last_iteration=end.iteration,
    )


def _model(part: Part, weights: Weights, device: torch.device) -> nn.Module:
    return network_of(weights, part.network, len(part.defect_codes)).to(device).to(memory_format=torch.channels_last)


def _validation_iterations(sgd: SgdParameters, image_count: int) -> frozenset[int]:
    """After how many iterations to validate; always after the last."""
    affordable = 3 * VALIDATION_COST_SHARE * sgd.max_iter * sgd.batch_size / image_count
    count = max(1, min(MOST_VALIDATIONS, sgd.max_iter, int(affordable)))
    return frozenset(round(sgd.max_iter * number / count) for number in range(1, count + 1))


def _validate(
    part: Part, model: nn.Module, device: torch.device, done: int, best: Best | None, job: Job, progress: Progress
) -> Best | None:
    validating = msgspec.structs.replace(progress, activity=VALIDATING)
    figures = part.validated(model, device, lambda: job.tell(validating))
    if not math.isfinite(figures.loss):
        raise not_finite(part.part, done, part.sgd.rate_at(done - 1))
    job.report(
        ValidationMeasured(
            **job.sender,
            part=part.part,
            iteration=done,
            accuracy=figures.accuracy,
            recall=figures.recall,
            loss=figures.loss,
            iou=figures.iou,
            code_ious=figures.code_ious,
        )
    )
    named = (("accuracy", figures.accuracy), ("recall", figures.recall), ("IoU", figures.iou), ("loss", figures.loss))
    told = ", ".join(f"{name} {figure:.4f}" for name, figure in named if figure is not None)
    job.log.info("iteration %s: %s", done, told)
    if best is not None and best.score > figures.score:
        return best
    weights = {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}  # there, so a GPU goes on
    return Best(iteration=done, score=figures.score, weights=weights)


def _evaluation(
    order: TrainingOrder,
    prepared: Prepared,
    trained: Sequence[tuple[Part, Weights]],
    device: torch.device,
    job: Job,
) -> Evaluation:
    """The report on the validation split."""
    judged, screening = _judge(order, prepared, trained, device, job), prepared.screening
    return evaluation_of(trained[-1][0].defect_codes, judged, screening.non_compliant, screening.damaged)


def _judge(
    order: TrainingOrder,
    prepared: Prepared,
    trained: Sequence[tuple[Part, Weights]],
    device: torch.device,
    job: Job,
) -> list[Judged]:
    """What the trained networks say of all images that validate."""

    def on_batch() -> None:
        job.go_on(TRAINED_SHARE, EVALUATING)

    chosen = prepared.to_judge()
    images = [prepared.screening.compliant[index] for index in chosen]
    (classification, weights), *segmentation = trained
    model = _model(classification, weights, device)
    scores = evaluate(model, prepared.screening.decoded.part(chosen), order.input, device, on_batch)
    judged = [Judged(image, scores_K) for image, scores_K in zip(images, scores, strict=True)]
    if not segmentation:
        return judged
    (part, weights), at_segmentation = segmentation[0], prepared.screening.segmentation
    assert order.segmentation is not None
    assert at_segmentation is not None
    segmenter = Segmenter(
        model=_model(part, weights, device).eval(),
        defect_codes=part.defect_codes,
        class_count=prepared.class_count,
        min_pixels=order.segmentation.special_code_min_pixels,
        input=part.input,
        device=device,
    )
    decoded, decoded_masks = at_segmentation.decoded.part(chosen), at_segmentation.masks.part(chosen)

    def look_at(batch: Indices) -> list[Seen]:
        those = [images[place] for place in batch]
        masks = [
            mask_HW if image.mask_checksum else None
            for image, mask_HW in zip(those, decoded_masks.gather(batch), strict=True)
        ]
        return list(segmenter.look_at(decoded.gather(batch), those, masks))

    seen: list[Seen] = []
    with answered_by_batch(look_at, len(images), device) as answers:
        for seen_in_batch in answers:
            seen += seen_in_batch
            on_batch()
    return [one._replace(segmented=of.segmented, special=of.special) for one, of in zip(judged, seen, strict=True)]
