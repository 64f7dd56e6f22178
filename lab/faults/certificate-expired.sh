# shellcheck shell=bash
# shows: AUTH-003
# does: lets a restricted client certificate into the trust store that expired in 2021; its key is nowhere

inject() { trust_certificate "$1" old-laptop a7b65da3762d --restricted --projects restricted <<'C'
-----BEGIN CERTIFICATE-----
MIIBKTCB0KADAgECAhQ5AvNBMCa7Cw/m7t86O8zSyP7MQTAKBggqhkjOPQQDAjAV
MRMwEQYDVQQDDApvbGQtbGFwdG9wMB4XDTIwMDEwMTAwMDAwMFoXDTIxMDEwMTAw
MDAwMFowFTETMBEGA1UEAwwKb2xkLWxhcHRvcDBZMBMGByqGSM49AgEGCCqGSM49
AwEHA0IABEuHW0LOcgCBxF48tFomIw/ocylkQR8hKD2+iPgCJVosY+/TzmU9cUMA
O50R69HP/Cmb5XRE9vEUk1qfxrI2ZRwwCgYIKoZIzj0EAwIDSAAwRQIga71aCSLy
EWnI+/MPUX4q4BWYb8JOUjTOa6/PgDOZ7hACIQDajGC5hr8L84t4dE/0KHqSHUa6
zeOrPLfma0a0P3u5cw==
-----END CERTIFICATE-----
C
}
heal() { distrust_certificate "$1" a7b65da3762d; }
