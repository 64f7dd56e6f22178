# shellcheck shell=bash
# shows: PROJ-003
# does: allows nesting, GPUs and every host path in the empty project user-bob

inject() {
  set_keys "$1" "project user-bob" \
    restricted.containers.nesting=allow restricted.devices.gpu=allow restricted.devices.disk=allow
}
heal() { set_keys "$1" "project user-bob" restricted.containers.nesting= restricted.devices.gpu= restricted.devices.disk=; }
