"""A training: preprocessing, the loop, the report. Shape letters: B = batch, C = 3 colours, H and W = input height and width.

The loop of one job is decided by its order, its images and the first attempt's threads and precision, by nothing else: an attempt
that goes on from a checkpoint computes what the interrupted one would have computed (bit for bit on a CPU).
"""

import hashlib
import math
import time
from pathlib import Path
from typing import Final

import msgspec
import torch
from torch import nn
from torch.nn import functional

from domain.evaluation import figures_of
from domain.learning_rates import learning_rate
from domain.messages import LossPart, Resources, TrainingOrder, TrainingSucceeded, ValidationMeasured
from domain.refusals import Refusal
from domain.sentences import N_
from domain.training_parameters import SgdParameters
from gpu_worker import checkpoints
from gpu_worker.batches import Batches
from gpu_worker.checkpoints import Best, Checkpoint, Weights
from gpu_worker.devices import (
    chosen_device,
    describe,
    fastest_precision,
    keep_evaluation_exact,
    software,
)
from gpu_worker.jobs import Job, JobStopped, Progress
from gpu_worker.loss_curve import LossCurve, LossIsNotFinite
from gpu_worker.metrics import evaluate, evaluation_of, validation_figures
from gpu_worker.networks import classifier_of, load_initial_weights, new_classifier, save_weights
from gpu_worker.preprocessing import PREPARED_SHARE, Prepared, keep_bytes, prepare
from gpu_worker.settings import Precision, TrainingSettings
from gpu_worker.sgd import Sgd

TRAINING = N_("Training")
EVALUATING = N_("Evaluating")

TRAINED_SHARE: Final = 0.98
MOST_VALIDATIONS: Final = 20
VALIDATION_COST_SHARE: Final = 0.1
"""Validations may take about this share of the training's time; judging an image costs a third of learning from it."""


class SegmentationIsNotTrained(Refusal):
    """Asking for it must not silently give a model without it."""

    message = N_("This worker does not train segmentation yet. Switch “Train segmentation” off, then start again.")


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
    if order.preprocessing.train_segmentation:
        raise SegmentationIsNotTrained
    device = chosen_device(needs)
    keep_evaluation_exact()
    started = time.monotonic()
    prepared = prepare(order, job)
    checkpoint = _first_or_last_checkpoint(order, prepared, device, job, settings)
    torch.set_num_threads(checkpoint.thread_count)
    job.log.info("training on %s", describe(device, Precision(checkpoint.precision), checkpoint.thread_count))
    best, losses = train_loop(order, prepared, checkpoint, device, job, settings)

    job.log.info("the weights of iteration %s are the best", best.iteration)
    model = _model(order, best.weights, device)
    images, _, read = prepared.split(validation=True)
    scores = evaluate(model, images, order.input, device, lambda: job.go_on(TRAINED_SHARE, EVALUATING))
    screening = prepared.screening
    classes = order.model_parameters.classifier_codes
    evaluation = evaluation_of(classes, zip(read, scores, strict=True), screening.non_compliant, screening.damaged)
    weights = job.workspace / "weights.safetensors"
    save_weights(best.weights, weights, order.model_parameters.classification.name, classes)
    job.report(
        TrainingSucceeded(
            **job.sender,
            seconds=time.monotonic() - started,
            weights=job.artifacts.keep(weights),
            evaluation=keep_bytes(job, "evaluation.msgpack", msgspec.msgpack.encode(evaluation)),
            figures=figures_of(evaluation, screening.left_out_count),
            log=job.kept_log(),
            losses=job.artifacts.keep(losses),
            resolution_rule=screening.resolution_rule,
            device=describe(device, Precision(checkpoint.precision), checkpoint.thread_count),
            software=checkpoint.software,
        )
    )


def train_loop(
    order: TrainingOrder,
    prepared: Prepared,
    start: Checkpoint,
    device: torch.device,
    job: Job,
    settings: TrainingSettings,
) -> tuple[Best, Path]:
    """From a checkpoint to the end. Returns the best weights and the metrics file.

    Raises:
        LossIsNotFinite, JobStopped
    """
    sgd = order.training_parameters.classification
    model = _model(order, start.model, device).train()
    optimizer = Sgd(model, sgd, start.momenta)
    batches = Batches(order, prepared, device)
    validations = _validation_iterations(sgd, prepared.validates.count(True))
    best, clock = start.best, _Clock(settings, start.iteration, sgd.max_iter)
    with LossCurve(job, start, sgd.max_iter, device) as curve:
        for iteration in range(start.iteration, sgd.max_iter):
            images_BCHW, labels_B = batches.batch(iteration)
            rate = _rate(sgd, iteration)
            with torch.autocast(device.type, torch.bfloat16, enabled=start.precision == Precision.BFLOAT16.value):
                loss = functional.cross_entropy(model(images_BCHW), labels_B)
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step(rate)
            curve.add(loss, rate)
            done = iteration + 1
            if done in validations:
                curve.publish()
                best = _validate(order, prepared, model, device, done, best, job)
            if curve.is_due():
                curve.publish()
                job.tell(clock.progress(done, curve.latest))
            is_stopping = job.is_stopping()
            if is_stopping or clock.is_checkpoint_due(done):
                curve.publish()
                checkpoints.save(_checkpoint(start, done, model, optimizer, best, curve), job.workspace)
            if is_stopping:
                raise JobStopped
        curve.publish(everything=True)
    assert best is not None, "the last iteration is always validated"
    return best, curve.file


class _Clock:
    """When to save, and how long it will still take."""

    def __init__(self, settings: TrainingSettings, first_iteration: int, max_iter: int) -> None:
        self.settings, self.first_iteration, self.max_iter = settings, first_iteration, max_iter
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
        """For the heartbeat, after `done` iterations."""
        pace = (time.monotonic() - self.started) / (done - self.first_iteration)
        return Progress(
            share=PREPARED_SHARE + (TRAINED_SHARE - PREPARED_SHARE) * done / self.max_iter,
            activity=TRAINING,
            iteration=done,
            loss=loss,
            seconds_left=pace * (self.max_iter - done),
        )


def _first_or_last_checkpoint(
    order: TrainingOrder, prepared: Prepared, device: torch.device, job: Job, settings: TrainingSettings
) -> Checkpoint:
    identity = hashlib.sha256(msgspec.json.encode(order) + prepared.manifest_checksum.encode()).hexdigest()
    checkpoint = checkpoints.load(job.workspace)
    if checkpoint is None:
        return _new_checkpoint(order, identity, device, job, settings)
    if checkpoint.identity != identity:
        raise ImagesChangedMeanwhile
    job.log.info("going on after iteration %s", checkpoint.iteration)
    if checkpoint.software != software():
        job.log.warning("the attempt before ran on %s, this one runs on %s", checkpoint.software, software())
    torch.set_rng_state(checkpoint.random_state)
    if device.type == "cuda" and checkpoint.random_states_of_gpus:
        torch.cuda.set_rng_state_all(checkpoint.random_states_of_gpus)
    return checkpoint


def _new_checkpoint(
    order: TrainingOrder, identity: str, device: torch.device, job: Job, settings: TrainingSettings
) -> Checkpoint:
    network, classes = order.model_parameters.classification.name, order.model_parameters.classifier_codes
    torch.set_num_threads(job.cpu_cores)
    precision = settings.precision or fastest_precision(
        new_classifier(network, len(classes), order.seed), order.input, device
    )
    model = new_classifier(network, len(classes), order.seed)
    if order.initial_weights is not None:
        kept = load_initial_weights(model, job.artifacts.path(order.initial_weights), network, classes)
        job.log.info("starting from given weights, head %s", "kept" if kept else "made anew")
    return Checkpoint(
        identity=identity,
        iteration=0,
        thread_count=job.cpu_cores,
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
        random_states_of_gpus=torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
        best=best,
        curve_bytes=curve.kept_bytes(),
    )


def _model(order: TrainingOrder, weights: Weights, device: torch.device) -> nn.Module:
    parameters = order.model_parameters
    model = classifier_of(weights, parameters.classification.name, len(parameters.classifier_codes))
    return model.to(device).to(memory_format=torch.channels_last)


def _rate(sgd: SgdParameters, iteration: int) -> float:
    return learning_rate(
        sgd.lr_policy,
        base_lr=sgd.base_lr,
        iteration=iteration,
        max_iter=sgd.max_iter,
        gamma=sgd.gamma,
        power=sgd.power,
    )


def _validation_iterations(sgd: SgdParameters, image_count: int) -> frozenset[int]:
    """After how many iterations to validate; always after the last."""
    affordable = 3 * VALIDATION_COST_SHARE * sgd.max_iter * sgd.batch_size / image_count
    count = max(1, min(MOST_VALIDATIONS, sgd.max_iter, int(affordable)))
    return frozenset(round(sgd.max_iter * number / count) for number in range(1, count + 1))


def _validate(
    order: TrainingOrder,
    prepared: Prepared,
    model: nn.Module,
    device: torch.device,
    done: int,
    best: Best | None,
    job: Job,
) -> Best | None:
    images, labels, _ = prepared.split(validation=True)
    figures = validation_figures(evaluate(model, images, order.input, device, lambda: None), labels)
    if not math.isfinite(figures.loss):
        sgd = order.training_parameters.classification
        raise LossIsNotFinite(iteration=done, learning_rate=sgd.base_lr)
    job.report(
        ValidationMeasured(
            **job.sender,
            part=LossPart.CLASSIFICATION,
            iteration=done,
            accuracy=figures.accuracy,
            recall=figures.recall,
            loss=figures.loss,
        )
    )
    job.log.info(
        "iteration %s: accuracy %.4f, recall %.4f, loss %.4f", done, figures.accuracy, figures.recall, figures.loss
    )
    if best is not None and best.score > figures.score:
        return best
    weights = {name: tensor.detach().to("cpu", copy=True) for name, tensor in model.state_dict().items()}
    return Best(iteration=done, score=figures.score, weights=weights)
