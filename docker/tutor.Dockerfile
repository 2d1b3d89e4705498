# SPDX-License-Identifier: Apache-2.0
# A tutor with a GPU. NOT TRIED: written from docs/server.md and the pages that it links.
#
#   docker build -f docker/tutor.Dockerfile -t shadowtutor-tutor .
#   docker run -it --rm --network host --ipc host --gpus all \
#       -v shadowtutor:/cache shadowtutor-tutor
#
# The host needs NVIDIA's driver and container toolkit; torch brings its own CUDA libraries.
# ROS_DISTRO is the robots': humble with JetPack 6.
ARG ROS_DISTRO=jazzy
FROM ros:${ROS_DISTRO}-ros-base

RUN apt-get update && apt-get install -y --no-install-recommends python3-venv \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /ws
RUN python3 -m venv --system-site-packages venv && touch venv/COLCON_IGNORE \
    && venv/bin/pip install --no-cache-dir torch
COPY requirements/base.txt requirements.txt
RUN venv/bin/pip install --no-cache-dir 'numpy<2' 'nicegui>=3' -r requirements.txt
COPY . src/shadowtutor_ros
RUN apt-get update && rosdep update && rosdep install --ignore-src -y \
        --from-paths src/shadowtutor_ros src/shadowtutor_ros/shadowtutor_msgs \
    && rm -rf /var/lib/apt/lists/*
RUN . "/opt/ros/$ROS_DISTRO/setup.sh" && venv/bin/python "$(command -v colcon)" build \
        --base-paths src/shadowtutor_ros src/shadowtutor_ros/shadowtutor_msgs

ENV SHADOWTUTOR_CACHE=/cache
ENTRYPOINT ["src/shadowtutor_ros/docker/entrypoint.sh"]
# The teacher's weights (GPL-3.0) are downloaded at the first start and stay in the volume.
CMD ["sh", "-c", "ros2 run shadowtutor_ros shadowtutor teacher fetch && exec ros2 launch shadowtutor_ros tutor.launch.py teacher:=yolo use_respawn:=true"]
