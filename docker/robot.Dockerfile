# SPDX-License-Identifier: Apache-2.0
# A student on a robot with an x86-64 or arm64 CPU. NOT TRIED: written from docs/robot.md.
#
#   docker build -f docker/robot.Dockerfile -t shadowtutor-robot .
#   docker run -it --rm --network host --ipc host shadowtutor-robot \
#       ros2 launch shadowtutor_ros student.launch.py image:=/camera/image_raw
#
# On a Jetson its GPU needs NVIDIA's torch and base image in place of these two: docs/robot.md.
ARG ROS_DISTRO=jazzy
FROM ros:${ROS_DISTRO}-ros-base

RUN apt-get update && apt-get install -y --no-install-recommends python3-venv \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /ws
RUN python3 -m venv --system-site-packages venv && touch venv/COLCON_IGNORE \
    && venv/bin/pip install --no-cache-dir torch --index-url https://download.pytorch.org/whl/cpu
COPY requirements/base.txt requirements.txt
RUN venv/bin/pip install --no-cache-dir 'numpy<2' -r requirements.txt
COPY . src/shadowtutor_ros
RUN apt-get update && rosdep update && rosdep install --ignore-src -y \
        --from-paths src/shadowtutor_ros src/shadowtutor_ros/shadowtutor_msgs \
    && rm -rf /var/lib/apt/lists/*
RUN . "/opt/ros/$ROS_DISTRO/setup.sh" && venv/bin/python "$(command -v colcon)" build \
        --base-paths src/shadowtutor_ros src/shadowtutor_ros/shadowtutor_msgs

ENTRYPOINT ["src/shadowtutor_ros/docker/entrypoint.sh"]
CMD ["ros2", "launch", "shadowtutor_ros", "student.launch.py"]
