# services.sigsrv-compliance: the daily scan on the machine that scans, and the read-only account on the hosts that are scanned.
{ config, lib, pkgs, ... }:

let
  cfg = config.services.sigsrv-compliance;
  account = "sigsrv";
in
{
  options.services.sigsrv-compliance = {
    scan = {
      enable = lib.mkEnableOption "the daily compliance scan of the Incus hosts, on this machine";

      package = lib.mkOption {
        type = lib.types.package;
        default = pkgs.callPackage ./package.nix { };
        defaultText = lib.literalExpression "pkgs.callPackage ./package.nix { }";
        description = "Package with the programs sigsrv and sigsrv-remediate.";
      };

      siteFile = lib.mkOption {
        type = lib.types.str;
        default = "/etc/sigsrv/site.yaml";
        description = "Site file. Its waivers are in waivers.yaml beside it, which `sigsrv waive` writes: keep both outside the store.";
      };

      startAt = lib.mkOption {
        type = lib.types.str;
        default = "*-*-* 06:00";
        description = "When the scan starts, as in systemd.time(7). It starts up to 30 minutes later.";
      };

      failOnFindings = lib.mkOption {
        type = lib.types.bool;
        default = false;
        description = "Whether findings (exit status 1), and what could not be read (3), fail the unit, for an alarm with OnFailure.";
      };
    };

    host = {
      enable = lib.mkEnableOption "the read-only account of the scan on this host";

      user = lib.mkOption {
        type = lib.types.str;
        default = "audit";
        description = "Name of the account. `sigsrv probes --sudoers USER --nix` prints the module with its sudo rules: import it too.";
      };

      keys = lib.mkOption {
        type = lib.types.listOf lib.types.str;
        default = [ ];
        description = "Public ssh keys of the account that scans.";
      };
    };
  };

  config = lib.mkMerge [
    (lib.mkIf cfg.scan.enable {
      environment.systemPackages = [ cfg.scan.package ];

      users.users.${account} = {
        isSystemUser = true;
        group = account;
        home = "/var/lib/sigsrv-home";
      };
      users.groups.${account} = { };

      systemd.services.sigsrv = {
        description = "Compliance scan of the Incus hosts";
        wants = [ "network-online.target" ];
        after = [ "network-online.target" ];
        environment = {
          XDG_STATE_HOME = "%S";
          # ssh runs the commands of ProxyJump and ProxyCommand with $SHELL, which would be the account's own: nologin.
          SHELL = "/bin/sh";
        };
        serviceConfig = {
          Type = "oneshot";
          User = account;
          ExecStart = "${cfg.scan.package}/bin/sigsrv scan --site ${lib.escapeShellArg cfg.scan.siteFile}";
          TimeoutStartSec = "10min";
          # 1 is findings, 3 is something that could not be read: results of a scan that did its work.
          SuccessExitStatus = lib.mkIf (!cfg.scan.failOnFindings) "1 3";

          StateDirectory = "sigsrv sigsrv-home";
          StateDirectoryMode = "0700";
          UMask = "0077";

          NoNewPrivileges = true;
          CapabilityBoundingSet = "";
          ProtectSystem = "strict";
          ProtectHome = true;
          PrivateTmp = true;
          PrivateDevices = true;
          ProtectClock = true;
          ProtectControlGroups = true;
          ProtectHostname = true;
          ProtectKernelLogs = true;
          ProtectKernelModules = true;
          ProtectKernelTunables = true;
          ProtectProc = "invisible";
          LockPersonality = true;
          RemoveIPC = true;
          # ssh: AF_UNIX for the shared connection and the forwarded socket, AF_NETLINK for the resolver of names
          RestrictAddressFamilies = "AF_UNIX AF_INET AF_INET6 AF_NETLINK";
          RestrictNamespaces = true;
          RestrictRealtime = true;
          RestrictSUIDSGID = true;
          SystemCallArchitectures = "native";
          SystemCallFilter = "@system-service";
          SystemCallErrorNumber = "EPERM";
        };
      };

      systemd.timers.sigsrv = {
        description = "Compliance scan of the Incus hosts, daily";
        wantedBy = [ "timers.target" ];
        timerConfig = {
          OnCalendar = cfg.scan.startAt;
          RandomizedDelaySec = "30min";
          Persistent = true;
        };
      };
    })

    (lib.mkIf cfg.host.enable {
      assertions = [
        {
          assertion = cfg.host.keys != [ ];
          message = "services.sigsrv-compliance.host.keys is empty: nobody could log in as ${cfg.host.user}";
        }
        {
          assertion = !config.security.sudo.execWheelOnly;
          message = "security.sudo.execWheelOnly shuts ${cfg.host.user} out of sudo: the scan could not read what only root may";
        }
      ];

      users.users.${cfg.host.user} = {
        isNormalUser = true;
        description = "Read-only account of the compliance scan";
        openssh.authorizedKeys.keys = map (key: "restrict ${key}") cfg.host.keys;
      };
    })
  ];
}
