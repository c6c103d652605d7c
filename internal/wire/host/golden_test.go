package host

import (
	"testing"

	"hardnode.dev/internal/testkit/golden"
)

func TestGolden(t *testing.T) {
	golden.Wire[Assignment](t, "assignment")
	golden.Wire[Report](t, "report")
	golden.Wire[ReportReply](t, "report-reply")
	golden.Wire[EnrollRequest](t, "enroll-request")
	golden.Wire[EnrollReply](t, "enroll-reply")
	golden.Wire[RenewRequest](t, "renew-request")
	golden.Wire[RenewReply](t, "renew-reply")
	golden.Wire[ComponentRequest](t, "component-request")
	golden.Wire[SessionRequest](t, "session-request")
	golden.Wire[Exit](t, "exit")
	golden.Wire[Routes](t, "routes")
	golden.Wire[Templates](t, "templates")
	golden.Wire[Used](t, "used")
	golden.Wire[Freed](t, "freed")
	golden.Wire[ImportRequest](t, "import-request")
	golden.Wire[TagRequest](t, "tag-request")
	golden.Wire[Netboot](t, "netboot")
	golden.Wire[NetbootReport](t, "netboot-report")
	golden.Wire[ReleasePeers](t, "release-peers")
}
