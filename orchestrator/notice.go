package main

import (
	"time"

	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/user"
	"hardnode.dev/orchestrator/mail"
	"hardnode.dev/orchestrator/store"
)

// noticeFor is how long a notice is worth sending.
const noticeFor = 3 * 24 * time.Hour

// notice writes to the owners of an account, if the cluster sends mail.
func (o *orchestrator) notice(tx *store.Tx, owner wire.Account, subject, text string) error {
	if !mail.Ready(tx.View()) {
		return nil
	}
	for _, u := range store.Users.Refs(tx.View()) {
		if u.Role(owner) != user.Owner || u.Service {
			continue
		}
		if err := o.mail.Queue(tx, mail.Letter{To: u.Mail, Subject: subject, Text: text, For: noticeFor, Notice: true}); err != nil {
			return err
		}
	}
	return nil
}
