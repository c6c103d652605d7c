package platform

import (
	"context"
	"fmt"
	"net/http"
	"net/url"

	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/internal/wire/slots"
	"hardnode.dev/orchestrator/patcher/rollout"
)

// Order is what a deed needs to know of the rollout that it belongs to.
type Order struct {
	Rollout, Release string
	BootSec          int64
	ComponentSec     int64 // in which a component's version has to be confirmed
}

// noDrain stands for the operation of a drain that there was no need for.
const noDrain wire.OperationID = "none"

// Do does a deed. Of a drain the answer is its operation: asked again, it is the same one.
func (c *Client) Do(ctx context.Context, a rollout.Action, o Order) (wire.OperationID, error) {
	component := "/components/" + url.PathEscape(a.Component)
	at, reason := of(a.Host), fmt.Sprintf("rollout %s of release %s", o.Rollout, o.Release)
	system := operator.OrderSystem{Release: o.Release, Step: string(a.Do), WithinSec: o.BootSec, Reason: reason}
	switch a.Do {
	case rollout.Cordon:
		return "", c.call(ctx, http.MethodPut, at+"/cordon", operator.CordonHost{Reason: reason}, nil)
	case rollout.Uncordon:
		return "", absent(c.call(ctx, http.MethodDelete, at+"/cordon", nil, nil))
	case rollout.Stage, rollout.Switch, rollout.Kexec, rollout.Hot:
		return "", c.call(ctx, http.MethodPut, at+"/system", system, nil)
	case rollout.Replace:
		return "", c.call(ctx, http.MethodPut, component,
			operator.ReplaceComponent{Release: o.Release, WithinSec: o.ComponentSec, Reason: reason}, nil)
	case rollout.Confirm:
		return "", c.call(ctx, http.MethodPost, component+"/confirm", nil, nil)
	case rollout.TakeBack:
		return "", c.call(ctx, http.MethodDelete, component+"/trial", nil, nil)
	case rollout.Forget:
		return "", absent(c.call(ctx, http.MethodDelete, at+"/system", nil, nil))
	case rollout.Reboot: // the slot of the release, which the next boot would be from, is not asked for any more
		if err := c.call(ctx, http.MethodPost, at+"/slots", operator.ChangeSlots{Request: slots.Request{Action: slots.Stay}},
			nil); err != nil {
			return "", err
		}
		return "", c.call(ctx, http.MethodPost, at+"/reboot", operator.LeaveHost{Reason: reason + " is taken back"}, nil)
	case rollout.Rollback:
		return "", c.call(ctx, http.MethodPost, at+"/slots",
			operator.ChangeSlots{Request: slots.Request{Action: slots.Rollback, Reboot: true}}, nil)
	case rollout.Drain:
		var got operator.Accepted
		err := c.call(ctx, http.MethodPost, at+"/drain?no_move=true", operator.DrainHost{Reason: reason, Stop: true}, &got,
			"Idempotency-Key", o.Rollout+"-"+string(a.Host))
		switch {
		case is(err, operator.NotFound): // an orchestrator of before there were drains: what the host runs stops
			return noDrain, nil
		case err != nil:
			return "", err
		case got.Operation == nil: // there is nothing to drain
			return noDrain, nil
		}
		return got.Operation.ID, nil
	}
	return "", fmt.Errorf("BUG: no deed %q", a.Do)
}

// absent lets pass that what is to be taken away is not there.
func absent(err error) error {
	if is(err, operator.NotFound) {
		return nil
	}
	return err
}
