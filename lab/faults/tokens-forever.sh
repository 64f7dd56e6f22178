# shellcheck shell=bash
# shows: AUTH-005
# does: unsets core.remote_token_expiry: a token for a client is valid until somebody uses it

inject() { set_keys "$1" config core.remote_token_expiry=; }
heal() { set_keys "$1" config core.remote_token_expiry=15M; }
