# shellcheck shell=bash
# shows: PROJ-002
# does: unsets features.profiles and features.storage.volumes of the empty project user-bob

# Incus refuses features.profiles=false in a restricted project, but allows unsetting it, which has the same effect.
# Incus deletes the project's default profile with the feature. The profile comes back as `project create` makes it.
inject() { set_keys "$1" "project user-bob" features.profiles= features.storage.volumes=; }
heal() { set_keys "$1" "project user-bob" features.profiles=true features.storage.volumes=true; }
