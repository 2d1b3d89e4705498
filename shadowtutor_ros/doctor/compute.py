# SPDX-License-Identifier: Apache-2.0
"""torch, its GPU, and how the student will run on this machine."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
import warnings

from shadowtutor_ros.doctor.finding import Finding, OK, PROBLEM, ROBOT, SKIPPED, WARNING
from shadowtutor_ros.doctor.fixes import pip, subcommand

TORCH, GPU, STUDENT = 'torch', 'GPU', 'student'
JETSON, NVIDIA = 'Jetson', 'NVIDIA'
_JETSON_FIX = ("NVIDIA's torch for your JetPack (cat /etc/nv_tegra_release): "
               'https://docs.nvidia.com/deeplearning/frameworks/install-pytorch-jetson-platform/')


@dataclass(frozen=True)
class Torch:
    """
    What torch says of itself: versions, GPUs as text, what CUDA answered when it was tried.

    ``cuda`` is the CUDA it was built for, empty for none; ``error`` why it cannot be used.
    """

    version: str = ''
    cuda: str = ''
    gpus: tuple[str, ...] = ()
    error: str = ''


def read_torch() -> Torch:
    """Import torch and compute something on every GPU."""
    try:
        import torch
    except Exception as error:  # a missing library may be any error
        return Torch(error=f'{type(error).__name__}: {error}')
    version, cuda = torch.__version__, torch.version.cuda or ''
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter('always')
        available = torch.cuda.is_available()
    if not available:
        return Torch(version, cuda, (), ' '.join(str(w.message) for w in caught))
    try:
        gpus = []
        for index in range(torch.cuda.device_count()):
            free, total = torch.cuda.mem_get_info(index)
            torch.ones(8, device=f'cuda:{index}').sum().item()
            gpus.append(f'{torch.cuda.get_device_name(index)}, {free / 2**30:.1f} of '
                        f'{total / 2**30:.1f} GiB free')
    except Exception as error:
        return Torch(version, cuda, (), f'{type(error).__name__}: {error}')
    return Torch(version, cuda, tuple(gpus))


def hardware(root: Path = Path('/')) -> str:
    """Return JETSON, NVIDIA (its driver is loaded) or nothing."""
    model = root / 'proc/device-tree/model'
    if (root / 'etc/nv_tegra_release').is_file() or (
            model.is_file() and JETSON in model.read_text(errors='replace')):
        return JETSON
    return NVIDIA if (root / 'proc/driver/nvidia/version').is_file() else ''


def judge_torch(torch: Torch, hardware: str) -> Finding:
    """Judge whether torch is there."""
    if not torch.version:
        return Finding(PROBLEM, TORCH, torch.error, _JETSON_FIX if hardware == JETSON
                       else pip('torch'))
    return Finding(OK, TORCH, f'{torch.version}, '
                   f'{f"for CUDA {torch.cuda}" if torch.cuda else "without CUDA"}')


def judge_gpu(torch: Torch, hardware: str, role: str) -> Finding:
    """Judge the GPU; a server without one is slow, a robot may do without."""
    if not torch.version:
        return Finding(SKIPPED, GPU, 'torch cannot be imported')
    if torch.gpus:
        return Finding(OK, GPU, '; '.join(torch.gpus))
    if hardware and not torch.cuda:
        fix = (_JETSON_FIX if hardware == JETSON else
               pip('--force-reinstall torch') + '   # on x86-64 the plain package has CUDA')
        return Finding(WARNING, GPU, f'torch {torch.version} cannot use the {hardware} GPU: it is '
                       'built without CUDA', fix)
    if hardware or torch.error:
        fix = _JETSON_FIX if hardware == JETSON else (
            f'nvidia-smi   # its CUDA version must be {torch.cuda} or later: update the driver')
        return Finding(PROBLEM if hardware else WARNING, GPU,
                       f'CUDA does not work: {torch.error or "no device"}', fix)
    if role == ROBOT:
        return Finding(OK, GPU, 'none: the student runs on the CPU')
    return Finding(WARNING, GPU, 'none: teacher and training run on the CPU, which takes seconds',
                   subcommand('bounds --measure --mbps 40   # says what this machine can do'))


def student(torch: Torch) -> Finding:
    """Say how the student node would run with its default parameters."""
    if not torch.version:
        return Finding(SKIPPED, STUDENT, 'torch cannot be imported')
    from shadowtutor_ros.model.device import pick_device
    from shadowtutor_ros.model.engine import AUTO, pick_precision
    from shadowtutor_ros.nodes.toolkit.placement import default_threads

    device = pick_device(AUTO)
    precision = str(pick_precision(AUTO, device)).removeprefix('torch.')
    count = default_threads(set())
    return Finding(OK, STUDENT, f'on {device} in {precision}, {count} thread{"s"[:count != 1]}')
