# shellcheck shell=bash
# shows: PROJ-002
# does: unsets features.profiles and features.storage.volumes of the empty project user-bob

# Incus refuses features.profiles=false in a restricted project, but not to unset it, which means the same.
# The project's default profile is deleted with the feature and comes back as `project create` makes it.
inject() { set_keys "$1" "project user-bob" features.profiles= features.storage.volumes=; }
heal() { set_keys "$1" "project user-bob" features.profiles=true features.storage.volumes=true; }
