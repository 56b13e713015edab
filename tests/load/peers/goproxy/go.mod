module torpor.test/goproxy

go 1.22
