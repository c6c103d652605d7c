package api

import (
	"context"
	"fmt"

	"hardnode.dev/internal/wire/mail"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/internal/wire/user"
	"hardnode.dev/orchestrator/authz"
)

// mailOperations are those on the mail that the cluster sends.
func (s *Server) mailOperations() {
	serve(s, route{"getMail", "GET", "/cluster/mail", "The mail server that the cluster sends by, and how many mails wait", authz.Admin,
		200}, s.getMail)
	serve(s, route{"setMail", "PUT", "/cluster/mail", "Name the mail server that the cluster sends by", authz.Admin, 200}, s.setMail)
	serveWith(s, route{"removeMail", "DELETE", "/cluster/mail", "Send no mail any more; what waits fails", authz.Admin, 204}, s.removeMail)
	serveWith(s, route{"testMail", "POST", "/cluster/mail/test", "Send a mail at once, and say what became of it", authz.Admin, 204},
		s.testMail)
	serve(s, route{"listMails", "GET", "/cluster/mail/outbox", "The mails that wait or could not be sent, the newest first", authz.Admin,
		200}, s.listMails)
}

func (s *Server) getMail(context.Context, caller, *none) (mail.MailSettings, error) {
	return s.Mail.Settings(), nil
}

func (s *Server) setMail(ctx context.Context, c caller, in *body[mail.SetMailSettings]) (mail.MailSettings, error) {
	n := in.Body.Normal()
	err := s.do(c, "mail.set", fmt.Sprintf("cluster/mail (%s:%d %s)", n.Host, n.Port, n.Security), func() error {
		return s.Mail.Set(ctx, in.Body, c.Name)
	})
	return s.Mail.Settings(), err
}

func (s *Server) removeMail(ctx context.Context, c caller, _ *none) (*none, error) {
	return nil, s.do(c, "mail.remove", "cluster/mail", func() error { return s.Mail.Remove(ctx) })
}

func (s *Server) testMail(ctx context.Context, c caller, in *body[mail.TestMail]) (*none, error) {
	return nil, s.do(c, "mail.test", "cluster/mail ("+user.Normal(in.Body.To)+")", func() error {
		return s.Mail.Test(ctx, in.Body.To, c.Name)
	})
}

func (s *Server) listMails(_ context.Context, _ caller, in *PageInput) (operator.List[mail.QueuedMail], error) {
	return page(*in, listed(s.Mail.List(), func(m mail.QueuedMail) string { return m.ID }))
}
