package api

import (
	"context"
	"fmt"

	"hardnode.dev/internal/identity"
	"hardnode.dev/internal/wire/operator"
)

func (s *Server) listWaitingHosts(_ context.Context, _ caller, in *PageInput) (operator.List[operator.WaitingHost], error) {
	return page(*in, listed(s.Enroll.ListWaiting(), func(w operator.WaitingHost) string {
		return fmt.Sprintf("%020d %s", w.Since.UnixNano(), w.Code) // in the order in which they began
	}))
}

type admitInput struct {
	Code string `path:"code" maxLength:"40" doc:"As the machine's console shows it"`
	Body operator.AdmitHost
}

func (s *Server) admitHost(ctx context.Context, c caller, in *admitInput) (made operator.AdmittedHost, err error) {
	err = s.do(c, "host.admit", "waiting-hosts/"+identity.ReadCode(in.Code), func() (err error) {
		made, err = s.Enroll.Admit(ctx, in.Code, in.Body)
		return err
	})
	return made, err
}
