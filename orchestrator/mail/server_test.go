package mail

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"strings"
	"sync"
	"testing"
	"time"
)

// smtpServer is a mail server (RFC 5321) as far as it is needed to be sent a mail: STARTTLS or TLS, AUTH PLAIN, one mail after the other.
type smtpServer struct {
	port     int
	ca       string // PEM
	cert     tls.Certificate
	implicit bool   // TLS from the first byte
	plain    bool   // no TLS at all
	took     func() // is called when it has a mail, before it says so; nil: nobody wants to know

	mu struct {
		sync.Mutex
		answers map[string]string // in place of the right one, by verb: "RCPT": "450 busy"; "" is none at all
		mails   []string          // with their envelopes
		logins  []string
		clear   bool // a password was sent in the clear
	}
	stop chan struct{}
}

func serveSMTP(t *testing.T, change func(*smtpServer)) *smtpServer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	s := &smtpServer{cert: tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, stop: make(chan struct{}),
		ca: string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))}
	s.mu.answers = map[string]string{}
	if change != nil {
		change(s)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.port = l.Addr().(*net.TCPAddr).Port
	var all sync.WaitGroup
	all.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			all.Go(func() {
				defer c.Close()
				if s.implicit {
					c = tls.Server(c, s.conf())
				}
				s.talk(c, s.implicit)
			})
		}
	})
	t.Cleanup(func() { close(s.stop); l.Close(); all.Wait() })
	return s
}

func (s *smtpServer) conf() *tls.Config { return &tls.Config{Certificates: []tls.Certificate{s.cert}} }

// answers has the server answer a verb otherwise.
func (s *smtpServer) answer(verb, with string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mu.answers[verb] = with
}

func (s *smtpServer) right(verb string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.mu.answers, verb)
}

func (s *smtpServer) mails() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string{}, s.mu.mails...)
}

// wrong answers a verb as the test wants, and tells whether it did.
func (s *smtpServer) wrong(c net.Conn, verb string) bool {
	s.mu.Lock()
	text, ok := s.mu.answers[verb]
	s.mu.Unlock()
	if ok && text == "" {
		<-s.stop // it says nothing; the other end has to tire of it
	} else if ok {
		fmt.Fprintf(c, "%s\r\n", text)
	}
	return ok
}

func (s *smtpServer) talk(c net.Conn, secure bool) {
	c.SetDeadline(time.Now().Add(time.Minute))
	raw := c
	go func() { <-s.stop; raw.Close() }() // ends with the test
	if s.wrong(c, "CONNECT") {
		return
	}
	fmt.Fprint(c, "220 mail.test ESMTP\r\n")
	r, envelope := bufio.NewReader(c), ""
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			return
		}
		verb := strings.ToUpper(strings.Fields(line + " -")[0])
		if s.wrong(c, verb) {
			continue
		}
		switch verb {
		case "EHLO":
			fmt.Fprint(c, "250-mail.test\r\n250-8BITMIME\r\n")
			if !secure && !s.plain {
				fmt.Fprint(c, "250-STARTTLS\r\n")
			}
			fmt.Fprint(c, "250 AUTH PLAIN\r\n")
		case "STARTTLS":
			fmt.Fprint(c, "220 go\r\n")
			c = tls.Server(c, s.conf())
			r, secure = bufio.NewReader(c), true
		case "AUTH":
			raw, _ := base64.StdEncoding.DecodeString(strings.Fields(line)[2])
			s.mu.Lock()
			s.mu.logins = append(s.mu.logins, strings.ReplaceAll(string(raw), "\x00", "|"))
			s.mu.clear = s.mu.clear || !secure
			s.mu.Unlock()
			fmt.Fprint(c, "235 welcome\r\n")
		case "MAIL":
			envelope = line
			fmt.Fprint(c, "250 ok\r\n")
		case "RCPT":
			envelope += line
			fmt.Fprint(c, "250 ok\r\n")
		case "DATA":
			fmt.Fprint(c, "354 go\r\n")
			for {
				line, err := r.ReadString('\n')
				if err != nil {
					return
				}
				if line == ".\r\n" {
					break
				}
				envelope += line
			}
			if s.wrong(c, ".") {
				continue
			}
			s.mu.Lock()
			s.mu.mails = append(s.mu.mails, envelope)
			s.mu.Unlock()
			if s.took != nil {
				s.took()
			}
			fmt.Fprint(c, "250 taken\r\n")
		case "QUIT":
			fmt.Fprint(c, "221 bye\r\n")
			return
		default:
			fmt.Fprint(c, "250 ok\r\n")
		}
	}
}
