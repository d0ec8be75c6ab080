"""The models of golden/peft and of test rigs."""

import torch


class Mlp(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.fc1, self.fc2, self.fc3 = torch.nn.Linear(7, 11), torch.nn.Linear(11, 6), torch.nn.Linear(6, 5)

    def forward(self, x):
        return self.fc3(torch.relu(self.fc2(torch.relu(self.fc1(x)))))


class Conv(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = torch.nn.Conv2d(3, 5, (3, 2), stride=(2, 1), padding=(1, 0))
        self.fc = torch.nn.Linear(5 * 4 * 5, 4)

    def forward(self, x):
        return self.fc(torch.relu(self.conv1(x)).flatten(1))
