// Command site is a site's servers, in the network namespace that it was started in: what a machine finds that boots from the network.
//
// Owns: one Ethernet card on a switch of the tests, its address, an HTTP server of files, the other servers that are run beside it.
// In: flags; the cable to the switch as descriptor 3.
// Out: a line for each request and all that the servers print, on stdout; its end, and theirs, when the cable is pulled.
// Never: runs in the machine's own network namespace: the namespace must have no card but lo. (The programs that it runs end with
// it when it is the first process of a PID namespace.)
package main

import (
	"flag"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
)

func main() {
	address := flag.String("address", "10.88.0.1/24", "address and network of the card")
	root := flag.String("root", "", "folder that is served at port 80; none: nothing is served")
	var programs []string
	flag.Func("run", "`command` to run beside it; may be given several times", func(s string) error {
		programs = append(programs, s)
		return nil
	})
	flag.Parse()
	if err := serve(*address, *root, programs); err != nil {
		fmt.Println("site:", err)
		os.Exit(1)
	}
}

func serve(address, root string, programs []string) error {
	card, err := plug(address)
	if err != nil {
		return err
	}
	ended := make(chan error)
	cable := os.NewFile(3, "cable")
	go func() { ended <- in(cable, card) }()
	go func() { ended <- out(card, cable) }()
	for _, p := range programs {
		words := strings.Fields(p)
		cmd := exec.Command(words[0], words[1:]...)
		cmd.Stdout, cmd.Stderr = os.Stdout, os.Stdout
		if err := cmd.Start(); err != nil {
			return fmt.Errorf("run %s: %w", p, err)
		}
		go func() { ended <- fmt.Errorf("%s: ended: %v", p, cmd.Wait()) }()
	}
	if root != "" {
		l, err := net.Listen("tcp4", ":80")
		if err != nil {
			return fmt.Errorf("serve files: %w", err)
		}
		go func() { ended <- http.Serve(l, files(root)) }()
	}
	fmt.Println("site: open")
	return <-ended
}

// files serves a folder and prints what is asked for.
func files(root string) http.Handler {
	served := http.FileServer(http.Dir(root))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Println("http:", r.Method, r.URL.Path)
		served.ServeHTTP(w, r)
		fmt.Println("http: done", r.URL.Path)
	})
}
