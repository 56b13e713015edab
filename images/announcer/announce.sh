#!/bin/sh
# Tells every gateway this pod's address as soon as the pod has one, then waits to be ended.
#
# It starts before the function's own container, so a gateway probes the address while that one
# still starts, instead of waiting until the kubelet's next look makes the address public. The
# gateway takes the address from the connection; the body only names the function and its port.
# It never fails the pod: without an announcement the gateway finds the pod by its watch.

trap 'exit 0' TERM INT

host=${TORPOR_ANNOUNCE_URL#http://}
path=/${host#*/}
host=${host%%/*}
port=${host##*:}
host=${host%:*}
body="{\"function\":\"$TORPOR_FUNCTION\",\"port\":$PORT}"

# The first "Address:" is the DNS server's own; the gateways' follow the name.
gateways() {
    nslookup -type=A "$host" 2>/dev/null | while read -r word value _; do
        case $word in
            Name:) named=1 ;;
            Address:) [ -n "$named" ] && echo "$value" ;;
        esac
    done
}

tell() {
    timeout 5 wget -q -O /dev/null --post-data "$body" \
        --header "Content-Type: application/json" \
        --header "Authorization: Bearer $TORPOR_ANNOUNCE_TOKEN" \
        "http://$1:$port$path" || echo "gateway $1 took no announcement" >&2
}

attempt=0
while [ $attempt -lt 5 ]; do
    found=$(gateways)
    [ -n "$found" ] && break
    attempt=$((attempt + 1))
    sleep 0.2
done
[ -n "$found" ] || echo "$host has no address" >&2
for gateway in $found; do
    tell "$gateway" &
done

while :; do
    sleep 2147483647 &
    wait $!
done
