# sigsrv and sigsrv-remediate, built from this checkout with the Python of nixpkgs.
{ lib, python3Packages, makeWrapper, openssh }:

python3Packages.buildPythonApplication {
  pname = "sigsrv-compliance";
  version = builtins.head (builtins.match ".*__version__ = \"([^\"]*)\".*" (builtins.readFile ../../src/sigsrv/__init__.py));
  pyproject = true;

  src = lib.fileset.toSource {
    root = ../..;
    fileset = lib.fileset.unions [
      ../../LICENSE
      ../../README.md
      ../../checks
      ../../policies
      ../../pyproject.toml
      ../../remediations
      ../../reports
      ../../src
    ];
  };

  build-system = [ python3Packages.hatchling ];
  nativeBuildInputs = [ makeWrapper ];
  dependencies = with python3Packages; [
    cryptography
    jinja2
    jsonpatch
    jsonschema
    pylxd
    pytest
    pytest-testinfra
    pyyaml
    requests
    ruamel-yaml
  ];

  # The hosts are reached with the ssh client; it is not a Python package.
  postFixup = ''
    for program in sigsrv sigsrv-remediate; do
      wrapProgram $out/bin/$program --prefix PATH : ${lib.makeBinPath [ openssh ]}
    done
  '';

  pythonImportsCheck = [ "sigsrv" ];

  meta = {
    description = "Compliance scanner and remediator for Incus clusters";
    license = lib.licenses.asl20;
    mainProgram = "sigsrv";
    platforms = lib.platforms.linux;
  };
}
