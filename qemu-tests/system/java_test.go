//go:build qemu

package system

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"hardnode.dev/qemu-tests/harness"
)

// heap is a service in Java that says how large its heap may become, as its virtual machine has it, and whether it can hold as many MiB as
// it is asked for.
const heap = `
import com.sun.management.HotSpotDiagnosticMXBean;
import com.sun.net.httpserver.HttpServer;
import java.lang.management.ManagementFactory;
import java.net.InetSocketAddress;
import java.util.ArrayList;

public class Heap {
    public static void main(String[] args) throws Exception {
        HotSpotDiagnosticMXBean vm = ManagementFactory.getPlatformMXBean(HotSpotDiagnosticMXBean.class);
        HttpServer server = HttpServer.create(new InetSocketAddress("127.0.0.1", 8080), 0);
        server.createContext("/heap", x -> answer(x, vm.getVMOption("MaxHeapSize").getValue()));
        server.createContext("/hold", x -> {
            String said = "held";
            try {
                ArrayList<byte[]> list = new ArrayList<>();
                for (int n = Integer.parseInt(x.getRequestURI().getQuery()); n > 0; n--) {
                    list.add(new byte[1 << 20]);
                }
            } catch (OutOfMemoryError e) {
                said = e.getClass().getName();
            }
            answer(x, said);
        });
        server.start();
    }

    static void answer(com.sun.net.httpserver.HttpExchange x, String text) throws java.io.IOException {
        byte[] raw = (text + "\n").getBytes();
        x.sendResponseHeaders(200, raw.length);
        x.getResponseBody().write(raw);
        x.close();
    }
}
`

const unit = `[Service]
ExecStart=/usr/bin/java -cp /srv Heap
Restart=on-failure
[Install]
WantedBy=multi-user.target
`

// TestJava: a Java virtual machine follows the size of its node.
func TestJava(t *testing.T) {
	if os.Getenv("HARDNODE_SOAK") == "" {
		t.Skip("HARDNODE_SOAK is not set: `make soak PKG=./qemu-tests/system RUN=TestJava` does it")
	}
	dir := t.TempDir()
	image := debian(t, "java.erofs", debian12, "systemd,systemd-sysv,dbus,openjdk-17-jre-headless",
		"cat > $1/etc/systemd/system/app.service <<'END'\n"+unit+"END",
		"cat > $1/srv/Heap.java <<'END'\n"+heap+"END",
		"chroot $1 java -m jdk.compiler/com.sun.tools.javac.Main -d /srv /srv/Heap.java",
		"chroot $1 systemctl enable app; rm -rf $1/var/cache/apt $1/var/lib/apt/lists $1/usr/share/doc")
	harness.RunGuestTest(t, harness.GuestTest{Package: "./agent/container", Run: "^TestJava$", DiskMiB: 2048, MemMiB: 3072,
		Timeout: 40 * time.Minute, Files: map[string]string{
			"/usr/lib/hardnode/spawner": harness.Build(t, "./agent/spawner", filepath.Join(dir, "spawner")),
			"/usr/lib/hardnode/jem":     harness.Build(t, "./agent/jem", filepath.Join(dir, "jem")),
			"/images/java.erofs":        image,
			"/images/box.erofs":         image,
		}})
}
