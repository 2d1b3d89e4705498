# SPDX-License-Identifier: Apache-2.0
"""What the parameters of the tutor node mean to the objects behind it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from shadowtutor_ros.assets import weights_at_hand
from shadowtutor_ros.classes import ClassSet
from shadowtutor_ros.distill.settings import DistillSettings
from shadowtutor_ros.model.first_student import first_student
from shadowtutor_ros.nodes.common_parameters import path_named
from shadowtutor_ros.nodes.tutor_parameters import LOCAL_WORKERS
from shadowtutor_ros.runtime.pool import Pool, PoolSettings
from shadowtutor_ros.runtime.ray_workers import RayWorkers
from shadowtutor_ros.runtime.recipe import TeacherRecipe, TutorRecipe
from shadowtutor_ros.runtime.stream_states import FolderStates, StreamStates
from shadowtutor_ros.runtime.teaching import Teaching
from shadowtutor_ros.runtime.tutor import TutorSettings
from shadowtutor_ros.runtime.worker import LocalWorker, WorkingTutor
from shadowtutor_ros.share import config_file
from shadowtutor_ros.wire.encoder import WeightSettings


def distill_settings(p: dict[str, Any]) -> DistillSettings:
    """Return the constants of Algorithm 1."""
    names = ('threshold', 'max_updates', 'min_updates', 'practice', 'replay', 'learning_rate',
             'group', 'cold_start_updates', 'cold_start_group', 'cold_start_key_frames')
    return DistillSettings(**{name: p[name] for name in names})


def tutor_recipe(p: dict[str, Any]) -> TutorRecipe:
    """Return what makes the tutor; raise what its class set and first student raise."""
    classes = ClassSet.load(config_file(p['classes'], 'classes'))
    teacher = TeacherRecipe(
        p['teacher'], classes, p['teacher_weights'] or weights_at_hand(p['teacher']),
        p['score_threshold'], p['labels_fps'])
    settings = TutorSettings(
        distill_settings(p),
        WeightSettings(p['weight_encoding'], p['update_density'], p['intra_period']),
        p['max_streams'], p['idle_timeout'], p['max_pixels'], p['lessons_at_once'],
        path_named(p['state_folder']), p['library'], p['lesson_seconds'])
    student = first_student(p['checkpoint'], classes, p['seed'], 'cpu', p['task'])
    return TutorRecipe.of(teacher, student, settings, p['device'], p['threads'])


def make_teaching(recipe: TutorRecipe, p: dict[str, Any]) -> Teaching:
    """
    Return who teaches by the recipe: a tutor in this process, or a pool of workers.

    Raise RayUnusable, UnusableStateFolder, or what a tutor's or worker's start raises.
    """
    if p['workers'] == LOCAL_WORKERS:
        return recipe.make()
    states: StreamStates | None = None
    if recipe.settings.state_folder is not None:
        states = FolderStates(recipe.settings.state_folder, recipe.layout_hash)
        recipe = replace(recipe, settings=replace(recipe.settings, state_folder=None))
    try:
        workers = RayWorkers(p['ray_address'], recipe, states is not None)
    except BaseException:
        if states is not None:
            states.close()
        raise
    return Pool(
        workers, recipe.info, recipe.teacher.name,
        PoolSettings(p['min_workers'], p['max_workers']), p['max_streams'], p['idle_timeout'],
        (lambda name: LocalWorker(name, WorkingTutor(recipe, states is not None)))
        if p['stand_in'] else None, states)
