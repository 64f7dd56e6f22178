# shellcheck shell=bash
# shows: AUTH-003
# does: adds a restricted client certificate with a 2048-bit RSA key to the trust store; its private key was not kept

inject() { trust_certificate "$1" weak-laptop f93d057a748d --restricted --projects restricted <<'C'
-----BEGIN CERTIFICATE-----
MIICujCCAaKgAwIBAgIUaxkexalfeKT+9D3HJCZnfJlZFrgwDQYJKoZIhvcNAQEL
BQAwFjEUMBIGA1UEAwwLd2Vhay1sYXB0b3AwIBcNMjYwMTAxMDAwMDAwWhgPMjEy
NjAxMDEwMDAwMDBaMBYxFDASBgNVBAMMC3dlYWstbGFwdG9wMIIBIjANBgkqhkiG
9w0BAQEFAAOCAQ8AMIIBCgKCAQEAiQzRBprwQZkgiTAYtGsXLXYlb9Ge0FIesVi5
YlEVRzqLMhQwTKIR6z42DVLvm1zHpsWsLijFz+YCnjO15quH4BUa9htnbX9Q+k7W
ysQg6j0fWbOVeH3DenGHGCOgPjuzSWAwTlgkaKMIlGFJKQxpsNEfqc4/AjZWBWW1
/TIXgCYTsZtUMlF3aZWMwPF4UXMKMTewQTpoy7BJzMiA9Tdzu04cNDbwHqRG9BUk
79H+a2X1bXbqhqLze/OvMQSGXFN+AIQK2LNWly9kxL9elu8I33eGJQEEReTI6mfN
2XulKPa5RrRANFF8sfUZONqf6vuYAMax32ur/G5dYzYq3c5tQQIDAQABMA0GCSqG
SIb3DQEBCwUAA4IBAQAsx6H1vaY/62mzcmahjDtc65dbjMA/g1OLiPl3A66LZozA
M4AIhnp7pDLw3JWVr9qZDgsy2PZIL4/Z+a6BYCtlGTpX857L1PN0rR5ULhJNi63e
PC2+imT9W0X70tOYcjwbBUnXreAjlOi0xj6lVP54dqOQuHQLapZY10YZjzJEkt0z
Ku2lZNy0lD/arao4os3TEOulSXQtJbRVQMkJCsCHIivjkEp70xT7jXSI24KI2ihI
iINT7uM9YBqN3+Kd6i7QLaL8mFq7OZehlInpn0np2E4UR4o0StDLpU5rsJKRIhHh
eXfAS4wzYVJk7xJWBTKfNH2/+Y3yeP7S5Qk+kKMi
-----END CERTIFICATE-----
C
}
heal() { distrust_certificate "$1" f93d057a748d; }
