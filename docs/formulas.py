r"""The formula of each strategy, as LaTeX, for its page.

It says what the method `formula` of the class computes, whose code stands beside it on the page.
$x$ is a row of logits, $p$ its softmax, $H$ its entropy in nats, $V$ the size of the vocabulary.
The order $\prec$ is by descending logit, of equals the lower id first. $z$ are the new logits; a
token that is not kept has $-\infty$. $t$ is the text so far, $c_i$ how often token $i$ occurred in
it, $g$ how many tokens were generated.
"""

FORMULAS = {
    "Greedy": r"\text{keep } i \ \iff \ i = \min\{\, j \,:\, x_j = \max_l x_l \,\}",
    "Temperature": r"z_i = \frac{x_i}{T} \quad (T > 0), \qquad "
    r"T = 0: \text{ keep the first token of } \prec \text{ alone}",
    "DynamicTemperature": r"z_i = \frac{x_i}{T}, \quad "
    r"T = T_\text{lo} + (T_\text{hi} - T_\text{lo}) \left(\frac{H}{\ln \, n}\right)^{e}, \quad "
    r"T_\text{lo} = \max(0, T_0 - r), \quad T_\text{hi} = T_0 + r, \quad "
    r"n = |\{\, i \,:\, x_i > -\infty \,\}|",
    "Quadratic": r"z_i = -f \, (k \, d_i^2 + s \, d_i^3), \quad d_i = \max_j x_j - x_i, \quad "
    r"k = \frac{3 - c}{2}, \quad s = \frac{c - 1}{2}",
    "TopK": r"\text{keep } i \ \iff \ |\{\, j \,:\, j \prec i \,\}| < k",
    "TopP": r"\text{keep } i \ \iff \ \sum_{j \prec i} p_j < m",
    "MinP": r"\text{keep } i \ \iff \ p_i \ge m \cdot \max_j p_j, \qquad "
    r"x_i \ge \max_j x_j + \ln \, m, \text{ which is the same}",
    "Typical": r"\text{keep } i \ \iff \ \sum_{j \text{ before } i} p_j < m, \qquad "
    r"j \text{ before } i \text{ by } d_j = | -\ln \, p_j - H |, \text{ of equals by } \prec",
    "Epsilon": r"\text{keep } i \ \iff \ p_i \ge \varepsilon \ \text{ or } i \text{ is first}",
    "Eta": r"\text{keep } i \ \iff \ p_i \ge \min(\varepsilon, \sqrt{\varepsilon} \, e^{-H}) "
    r"\ \text{ or } i \text{ is first}",
    "TopA": r"\text{keep } i \ \iff \ p_i \ge a \cdot (\max_j p_j)^2",
    "TopNSigma": r"\text{keep } i \ \iff \ x_i \ge \max_j x_j - n \sigma, \qquad "
    r"\sigma^2 = \text{the variance of } \{\, x_j \,:\, x_j > -\infty \,\}",
    "TopH": r"\text{keep the first } m \text{ tokens}, \quad "
    r"m = \max\{\, l \ge 1 \,:\, H_l \le h H \,\}, \quad "
    r"H_l = -\sum_{i \le l} \frac{p_i}{P_l} \ln \, \frac{p_i}{P_l}, "
    r"\quad P_l = \sum_{i \le l} p_i, "
    r"\quad i \text{ in the order } \prec",
    "PLess": r"\text{keep } i \ \iff \ p_i \ge \sum_j p_j^2 \ \text{ or } i \text{ is first}",
    "XTC": r"\text{with the chance } q \text{, else } z = x, \qquad \text{remove } "
    r"\{\, i \,:\, p_i \ge \theta \,\} , \qquad \text{but for its last token in the order } \prec",
    "MinK": r"\text{keep the first } k \text{ tokens}, \quad "
    r"k = \max\left( \text{arg} \max_i \frac{x_i - x_{i+1}}{i}, \ "
    r"\left\lfloor \frac{\tau}{x_1 - x_n} \right\rfloor \right), "
    r"\quad x_1 \ge x_2 \ge \dots \ge x_n > -\infty",
    "RepetitionPenalty": r"z_i = \begin{cases} x_i / \theta & c_i > 0, \ x_i > 0 \\ "
    r"x_i \cdot \theta & c_i > 0, \ x_i \le 0 \\ x_i & c_i = 0 \end{cases}",
    "PresencePenalty": r"z_i = x_i - \alpha \cdot [c_i > 0]",
    "FrequencyPenalty": r"z_i = x_i - \beta \cdot c_i",
    "NoRepeatNGram": r"\text{remove } i \ \iff \ (t_{L-n+2}, \dots, t_L, i) \text{ occurs in } "
    r"t_1, \dots, t_L",
    "DRY": r"z_i = x_i - \mu \cdot b^{\, m_i - a} \quad (m_i \ge a), \qquad "
    r"m_i = \max\{\, m \,:\, t_{j-m}, \dots, t_{j-1} = t_{L-m+1}, \dots, t_L, \ t_j = i \,\}",
    "LogitBias": r"z_i = x_i + b_i",
    "SuppressTokens": r"\text{remove } i \ \iff \ i \in S \ \text{ and } g < \text{steps}",
    "AllowTokens": r"\text{keep } i \ \iff \ i \in A",
    "SequenceBias": r"z_i = x_i + \sum_{(s, i) \, \,:\, \, t \text{ ends with } s} b_{(s, i)}",
    "BadWords": r"\text{remove } i \ \iff \ t \text{ ends with } s, \ (s, i) \in B",
    "MinNewTokens": r"\text{remove } i \ \iff \ i \in E \ \text{ and } g < n",
    "ForcedTokens": r"z_i = \begin{cases} 0 & i = f(g) \\ -\infty & i \ne f(g) \end{cases}, "
    r"\qquad \text{where } f(g) \text{ is given, else } z = x",
    "LengthDecay": r"z_i = x_i + |x_i| \left( f^{\max(g - s, 0)} - 1 \right) \quad (i \in E)",
    "SpanBudget": r"z_i = \begin{cases} 0 & i = f_{\min(m - b, |f| - 1)} \\ -\infty & \text{else} "
    r"\end{cases} \quad (m \ge b), \qquad f = (\text{closing}, \text{end}), \quad "
    r"m = \text{tokens in the open span}",
    "Mirostat": r"\text{keep } i \ \iff \ -\log_2 p_i \le \mu \ \text{ or } i \text{ is first}, "
    r"\qquad \mu_0 = 2 \tau, \quad \mu \leftarrow \mu - \eta \, (S - \tau), \quad "
    r"S = -\log_2 p_\text{drawn}",
    "AdaptiveP": r"z_i = 5 - \frac{10 \, d_i^2}{1 + d_i}, \quad d_i = \frac{|p_i - a|}{0.3}, \quad "
    r"a = \min\left(1, \max\left(0, 2 \, p_\text{target} - \frac{W}{N} \right)\right), \qquad "
    r"W \leftarrow p_\text{drawn} + \lambda W, \quad N \leftarrow 1 + \lambda N",
    "Guidance": r"z_i = u_i + s \, (c_i - u_i), \qquad "
    r"c = \ln \, \text{softmax}(x), \quad u = \ln \, \text{softmax}(x^\text{unconditional})",
    "Watermark": r"z_i = x_i + \delta \cdot [\, i \in G \,], \qquad "
    r"|G| = \lfloor \gamma V \rfloor, \quad "
    r"G \text{ a hash of the key and of the last tokens of } t",
    "Grammar": r"\text{keep } i \ \iff \ t \text{ followed by } i \text{ begins a valid text}",
}

SYMBOLS = {
    "Temperature": {"T": "temperature"},
    "DynamicTemperature": {"T_0": "temperature", "r": "range", "e": "exponent"},
    "Quadratic": {"f": "factor", "c": "curve"},
    "TopP": {"m": "p"},
    "MinP": {"m": "p"},
    "Typical": {"m": "p"},
    "Epsilon": {r"\varepsilon": "epsilon"},
    "Eta": {r"\varepsilon": "epsilon"},
    "XTC": {"q": "probability", r"\theta": "threshold"},
    "MinK": {r"\tau": "tau"},
    "RepetitionPenalty": {r"\theta": "penalty"},
    "PresencePenalty": {r"\alpha": "penalty"},
    "FrequencyPenalty": {r"\beta": "penalty"},
    "DRY": {r"\mu": "multiplier", "b": "base", "a": "allowed_length"},
    "LogitBias": {"b": "bias"},
    "SuppressTokens": {"S": "token_ids"},
    "AllowTokens": {"A": "token_ids"},
    "SequenceBias": {"b": "bias"},
    "BadWords": {"B": "sequences"},
    "MinNewTokens": {"E": "end_ids"},
    "ForcedTokens": {"f": "tokens"},
    "LengthDecay": {"f": "factor", "s": "start", "E": "end_id"},
    "SpanBudget": {"b": "budget"},
    "Mirostat": {r"\tau": "tau", r"\eta": "eta"},
    "AdaptiveP": {r"p_\text{target}": "target", r"\lambda": "decay"},
    "Guidance": {"s": "scale"},
    "Watermark": {r"\delta": "delta", r"\gamma": "gamma"},
}
"""The symbols of a formula that stand for a parameter of another name."""

BESIDES = {
    "TopA": r"With $a \le 1$ the first token stays always, since $a \, p^2 \le p$.",
    "TopH": r"With `renormalize=False` $H_l = -\sum_{i \le l} p_i \ln \, p_i$.",
    "RepetitionPenalty": r"With `normalize=True` $\ln \, p$ stands in place of $x$.",
    "DRY": "A match never goes across a breaker, and the power stops below the greatest float32.",
    "Mirostat": r"That is version 2. Version 1 keeps the first $\max(1, \lfloor k \rfloor)$ "
    r"tokens, $k = \left( \frac{\epsilon \, 2^\mu}{1 - V^{-\epsilon}} \right)^{1/s}$, with "
    r"$\epsilon = s - 1$, $s = \sum_i t_i b_i / \sum_i t_i^2$, $t_i = \ln \, \frac{i + 1}{i}$ and "
    r"$b_i = \ln \, \frac{p_i}{p_{i + 1}}$ over the first $m$ ranks.",
    "AdaptiveP": r"At the first step $W = p_\text{target} / (1 - \lambda)$ and "
    r"$N = 1 / (1 - \lambda)$.",
    "Guidance": r"Where $c_i = -\infty$ it stays.",
    "LogitBias": r"$-\infty$ beats $+\infty$.",
    "DynamicTemperature": r"With $n \le 1$ the row stays.",
    "MinK": r"Of equal drops the first counts, and $n$ tokens are above $-\infty$; a row with "
    r"$x_1 = x_n$ stays.",
}

LETTERS = {
    "x": "$x$ is the row of logits",
    "p": "$p$ is the softmax of the logits",
    "H": "$H$ is its entropy in nats",
    r"\prec": r"$\prec$ is the order by descending logit, of equals the lower id first",
    "z": "$z$ are the new logits",
    "V": "$V$ is the size of the vocabulary",
    "t": "$t$ are the tokens so far, $L$ of them",
    "c_i": "$c_i$ is how often token $i$ occurred",
    "g": "$g$ is how many tokens were generated",
}
"""What the letters of all formulas mean."""
