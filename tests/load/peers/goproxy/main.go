// goproxy passes everything to one server by Go's own reverse proxy, which the gateways of other
// systems are made of: goproxy LISTEN TARGET.
package main

import (
	"log"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
)

// idleConnections is what a proxy of one busy server keeps open; Go's default of two would make
// it connect anew for most requests.
const idleConnections = 1000

func main() {
	target, err := url.Parse(os.Args[2])
	if err != nil {
		log.Fatal(err)
	}
	proxy := httputil.NewSingleHostReverseProxy(target)
	proxy.Transport = &http.Transport{
		MaxIdleConns:        idleConnections,
		MaxIdleConnsPerHost: idleConnections,
		DisableCompression:  true,
	}
	log.Fatal(http.ListenAndServe(os.Args[1], proxy))
}
