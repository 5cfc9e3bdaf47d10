"""The command line with all of its commands."""

from creditmeter.cli.commands import (
    account,
    balance,
    central,
    config,
    explain,
    forecast,
    grant,
    history,
    journal,
    leases,
    plan,
    price,
    prices,
    quote,
    rates,
    reconcile,
    serve,
    sidecars,
    status,
    token,
    usage,
    verify,
    wait,
)
from creditmeter.cli.demo.command import demo
from creditmeter.cli.replay.command import replay
from creditmeter.cli.root import new_app

app = new_app()
app.command("serve")(serve.serve)
app.command("wait")(wait.wait)
app.add_typer(config.commands, name="config")
app.command("demo")(demo)
app.command("replay")(replay)
app.add_typer(account.commands, name="account")
app.add_typer(plan.commands, name="plan")
app.add_typer(grant.commands, name="grant")
app.add_typer(rates.commands, name="rates")
app.command("quote")(quote.quote)
app.command("prices")(prices.prices)
app.command("price")(price.price)
app.command("explain")(explain.explain)
app.command("balance")(balance.balance)
app.command("history")(history.history)
app.command("usage")(usage.usage)
app.command("reconcile")(reconcile.reconcile)
app.command("forecast")(forecast.forecast)
app.command("status")(status.status)
app.command("sidecars")(sidecars.sidecars)
app.command("leases")(leases.leases)
app.command("verify")(verify.verify)
app.add_typer(journal.commands, name="journal")
app.add_typer(token.commands, name="token")
app.add_typer(central.commands, name="central")
