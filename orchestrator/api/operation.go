package api

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"reflect"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/orchestrator/authz"
	"hardnode.dev/orchestrator/door"
	"hardnode.dev/orchestrator/ops/progress"
)

const watchPath = "/operations/{op}/events"

type operationInput struct {
	Op wire.OperationID `path:"op" maxLength:"40"`
}

type operationsInput struct {
	Env    wire.EnvName            `query:"env" maxLength:"40" doc:"Of this environment only"`
	Kind   string                  `query:"kind" enum:"env.create,env.edit,env.start,env.stop,env.restart,env.trash,env.restore,env.delete,env.spread,host.drain,node.move,node.replace,import" doc:"Of this kind only"`
	State  operator.OperationState `query:"state" enum:"pending,running,done,failed,cancelled" doc:"In this state only"`
	Limit  int                     `query:"limit" minimum:"1" maximum:"500" default:"100" doc:"The most items of one answer"`
	Cursor string                  `query:"cursor" maxLength:"400" doc:"The next of the answer before; empty begins at the newest"`
}

func (s *Server) listOperations(ctx context.Context, c caller, in *operationsInput) (operator.List[operator.Operation], error) {
	if in.Env == "" && s.LookImports != nil {
		s.LookImports(ctx)
	}
	w := s.worldOf(c)
	all := w.Operations()
	if in.Env != "" {
		all = w.OperationsOn(in.Env)
	}
	return page(PageInput{in.Limit, in.Cursor}, all.Only(func(op operator.Operation) bool {
		return (in.Kind == "" || op.Kind == in.Kind) && (in.State == "" || op.State == in.State)
	}))
}

func (s *Server) getOperation(_ context.Context, c caller, in *operationInput) (operator.Operation, error) {
	op, ok := c.world().Operation(in.Op)
	if !ok {
		return op, progress.NoOperation(in.Op)
	}
	return op, nil
}

func (s *Server) cancelOperation(ctx context.Context, c caller, in *operationInput) (op operator.Operation, err error) {
	err = s.do(c, "operation.cancel", "operations/"+string(in.Op), func() (err error) {
		op, err = s.Ops.Cancel(ctx, in.Op, c.asker(), c.Account, c.cancels)
		return err
	})
	return op, err
}

// watchOperation registers the watch, which is a stream.
func (s *Server) watchOperation() {
	watch := s.operation(route{"watchOperation", "GET", watchPath,
		"Watch an operation as server-sent events: event \"operation\" at once, at every change, and last when it has ended",
		authz.Read, 200})
	schema := s.api.OpenAPI().Components.Schemas
	watch.Responses = map[string]*huma.Response{"200": {Description: "A stream of operations", Content: map[string]*huma.MediaType{
		"text/event-stream": {Schema: huma.SchemaFromType(schema, reflect.TypeFor[operator.Operation]())}}}}
	huma.Register(s.api, watch, func(ctx context.Context, in *operationInput) (*huma.StreamResponse, error) {
		c := s.caller(ctx)
		if _, ok := c.world().Operation(in.Op); !ok {
			return nil, progress.NoOperation(in.Op)
		}
		return &huma.StreamResponse{Body: func(hc huma.Context) { c.watch(hc, in.Op) }}, nil
	})
}

// watch sends the operation at every change until it is final, or the caller goes. A comment every 15 s keeps the line open.
func (c caller) watch(hc huma.Context, id wire.OperationID) {
	hc.SetHeader("Content-Type", "text/event-stream")
	out, ok := hc.BodyWriter().(http.ResponseWriter)
	if !ok {
		return
	}
	ctl := http.NewResponseController(out)
	send := func(text string) bool {
		ctl.SetWriteDeadline(time.Now().Add(door.WriteLimit))
		_, err := out.Write([]byte(text))
		return err == nil && ctl.Flush() == nil
	}
	var last wire.Revision
	for {
		w := c.world()
		op, ok := w.Operation(id)
		if !ok {
			return // it was forgotten meanwhile
		}
		if op.Revision != last {
			last = op.Revision
			raw, err := json.Marshal(op)
			if err != nil || !send(fmt.Sprintf("id: %d\nevent: operation\ndata: %s\n\n", last, raw)) || op.State.Final() {
				return
			}
		}
		t := time.NewTimer(15 * time.Second)
		select {
		case <-w.Over():
		case <-t.C:
			if !send(": still here\n\n") {
				t.Stop()
				return
			}
		case <-hc.Context().Done():
			t.Stop()
			return
		}
		t.Stop()
	}
}
