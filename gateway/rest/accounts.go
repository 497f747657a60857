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
	operation(a, "read", "GET /v1/accounts", "The providers' accounts and how they stand", func(context.Context, *struct{}) (*accountList, error) {
		out := &accountList{}
		out.Body.Accounts = append([]channels.AccountState{}, a.Pool.States()...)
		return out, nil
	})
	operation(a, "admin", "POST /v1/accounts/{provider}/{name}/pause", "Pause an account: its deliveries wait", func(_ context.Context, in *named) (*struct{}, error) {
		return nil, a.Pool.Pause(in.Provider+"/"+in.Name, "by an operator")
	})
	operation(a, "admin", "POST /v1/accounts/{provider}/{name}/resume", "Resume an account", func(_ context.Context, in *named) (*struct{}, error) {
		return nil, a.Pool.Resume(in.Provider + "/" + in.Name)
	})
}
