# shellcheck shell=bash
# shows: AUTH-002
# does: adds an unrestricted client certificate to the trust store; its private key was not kept

inject() { trust_certificate "$1" laptop c02216bfb55f <<'C'
-----BEGIN CERTIFICATE-----
MIIBIzCByqADAgECAhQlbz+nZVlGmSJf8BXnlnoSxzMrTTAKBggqhkjOPQQDAjAR
MQ8wDQYDVQQDDAZsYXB0b3AwIBcNMjYwMTAxMDAwMDAwWhgPMjEyNjAxMDEwMDAw
MDBaMBExDzANBgNVBAMMBmxhcHRvcDBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IA
BDS/WmBAfn8g/Oyg7JuMWNVlWRaw9SgzzH1oOVI/RNBhpJ3mFPvJeKAATBeAKmQl
S+tMyCzW34cH3Tg7/0jvQPMwCgYIKoZIzj0EAwIDSAAwRQIhANa90jQS7CKgS3NV
mZZ3RX0OX//pX2Q79LX/vZ8G/PERAiAgbmKc/m96XNBxKV/DfOmS4a/TzcDR2tvI
sOzjOP5f8g==
-----END CERTIFICATE-----
C
}
heal() { distrust_certificate "$1" c02216bfb55f; }
