package store

import (
	"time"

	"hardnode.dev/internal/wire/mail"
)

// MailServer is what the cluster sends mail by. Orchestrators before 2026-11-28 leave it and the outbox alone, and send nothing.
type MailServer struct {
	Host     string        `json:"host"`
	Port     int           `json:"port"`
	Security mail.Security `json:"security"`
	User     string        `json:"user,omitempty"`
	Password []byte        `json:"password,omitempty"` // sealed: orchestrator/mail
	From     string        `json:"from"`
	CA       string        `json:"ca,omitempty"` // PEM; "": the usual ones
	Panel    string        `json:"panel"`        // https://host:port
	Since    time.Time     `json:"since"`
	By       string        `json:"by"`
}

// Mail is one that was not sent yet, or could not be.
type Mail struct {
	ID      string    `json:"id"`
	To      string    `json:"to"`
	Subject string    `json:"subject"`
	Text    []byte    `json:"text,omitempty"` // sealed; none in one that failed
	Created time.Time `json:"created"`
	Until   time.Time `json:"until"` // it is given up
	Next    time.Time `json:"next"`  // try
	Tries   int       `json:"tries,omitempty"`
	Reason  string    `json:"reason,omitempty"` // why the last try did not work
	Failed  bool      `json:"failed,omitempty"` // it is tried no more
}
