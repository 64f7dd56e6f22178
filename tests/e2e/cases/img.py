"""Lists the faults of IMG: images. BUSYBOX stands for the fingerprint of the lab's image."""

from tests.e2e.cases import Case

FOREIGN = "default/de24f4288ff1"

CASES = [
    Case("image-old", "sigsrv", {"IMG-001@cluster/default/BUSYBOX": "fail"}),
    Case(
        "image-frozen",
        "minisrv",
        {"IMG-001@cluster/default/BUSYBOX": "fail"},
        ["IMG-001@cluster/default/BUSYBOX"],
    ),
    Case(
        "image-foreign",
        "minisrv",
        {
            f"IMG-001@cluster/{FOREIGN}": "pass",
            f"IMG-002@cluster/{FOREIGN}": "fail",
            f"IMG-003@cluster/{FOREIGN}": "pass",
        },
    ),
    Case("image-public", "sigsrv", {"IMG-003@cluster/default/BUSYBOX": "fail"}, ["IMG-003@cluster/default/BUSYBOX"]),
]
