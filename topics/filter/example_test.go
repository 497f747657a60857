package filter_test

import (
	"fmt"

	"github.com/fanfare-gateway/fanfare/topics/filter"
)

func Example() {
	limits := filter.Limits{Keys: filter.AWSKeys}
	orders, err := filter.Parse([]byte(`{"event":["order_placed"],"price":[{"numeric":[">=",100]}]}`), filter.Attributes, limits)
	if err != nil {
		panic(err)
	}
	_, err = filter.Parse([]byte(`{"event":"order_placed"}`), filter.Attributes, limits)
	fmt.Println(err)

	index := filter.NewIndex()
	index.Set(filter.ID{1}, orders)
	message := filter.NewMessage(map[string]filter.Attribute{
		"event": {DataType: "String", Value: "order_placed"},
		"price": {DataType: "Number", Value: "120.50"},
	}, nil)
	index.Match(message, func(id filter.ID) bool {
		fmt.Println("for subscription", id[0])
		return true
	})
	// Output:
	// FilterPolicy: "event" must be an object or an array
	//  at [Source: (String)"{"event":"order_placed"}"; line: 1, column: 11]
	// for subscription 1
}
