package rest

import (
	"context"

	"github.com/fanfare-gateway/fanfare/channels"
)

func (a *api) registerAccounts() {
	type accountList struct {
		Body struct {
			Accounts []channels.AccountState `json:"accounts"`
		}
	}
	type named struct {
		Provider string `path:"provider"`
		Name     string `path:"name"`
	}
	operation(a, "read", "GET /v1/accounts", "The providers' accounts and how they stand; also those that are not there any more and that deliveries wait for", func(context.Context, *struct{}) (*accountList, error) {
		missing, err := a.Pool.Missing()
		out := &accountList{}
		out.Body.Accounts = append(append([]channels.AccountState{}, a.Pool.States()...), missing...)
		return out, err
	})
	operation(a, "admin", "POST /v1/accounts/{provider}/{name}/pause", "Pause an account: its deliveries wait", func(_ context.Context, in *named) (*struct{}, error) {
		return nil, a.Pool.Pause(in.Provider+"/"+in.Name, "by an operator")
	})
	operation(a, "admin", "POST /v1/accounts/{provider}/{name}/resume", "Resume an account", func(_ context.Context, in *named) (*struct{}, error) {
		return nil, a.Pool.Resume(in.Provider + "/" + in.Name)
	})
}
