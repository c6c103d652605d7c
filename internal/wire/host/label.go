package host

// Labels of an image's configuration that Hardnode reads.
const (
	LabelHTTPPort  = "io.hardnode.http-port"  // 1–65535: where HTTP is served
	LabelCheckPort = "io.hardnode.check-port" // where a check connects; without this and the next there is no check
	LabelCheckPath = "io.hardnode.check-path" // makes the check an HTTP request, to the HTTP port if there is no check port
	LabelProfile   = "io.hardnode.profile"    // app or system
	LabelReaper    = "io.hardnode.reaper"     // true: a tiny reaping init before the process
	LabelStopAfter = "io.hardnode.stop-after" // seconds between stop signal and kill
	LabelNoDataCOW = "io.hardnode.nodatacow"  // those of the image's volumes that are written in place, by commas
)
