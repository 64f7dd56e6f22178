"""Checks of PROJ: projects. PROJ-001 is a rule in its policy's file."""

from sigsrv.evaluate import policy
from sigsrv.site import DEFAULT_FEATURES


@policy("PROJ-002")
def test_project_has_its_own_profiles_volumes_and_buckets(facts, site, require):
    """What a project does not have of its own it shares with project default. Unset counts as false."""
    for project in facts.first(lambda incus: incus.projects):
        if project.name == "default":
            continue
        entry = site.project(project.name)
        wanted = entry.features if entry else DEFAULT_FEATURES
        wrong = [key for key, value in sorted(wanted.items()) if (project.config[key] == "true") is not value]
        require(
            project.name,
            not wrong,
            expected=", ".join(f"{key} is {str(value).lower()}" for key, value in sorted(wanted.items())),
            observed=", ".join(f"{key} is {project.config[key]}" for key in wrong or sorted(wanted)),
        )
